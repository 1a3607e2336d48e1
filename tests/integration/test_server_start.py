"""`samepage-singleuser`: the server's program runs as it would without us."""

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest

from labext.kernels.support import probe

ROOT = Path(__file__).parents[2]
WRAPPER = [
    sys.executable,
    "-c",
    "import sys; from labext.kernels.server_start import main; sys.exit(main())",
]

pytestmark = pytest.mark.skipif(not probe().available, reason="this Linux cannot merge")


def until(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


class Place:
    """A script with the shebang of this Python, and a home to start it in."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        self.script = folder / "server"
        body = (ROOT / "tests" / "integration" / "server_facts.py").read_text()
        self.script.write_text(f"#!{sys.executable}\n{body}")
        self.script.chmod(0o755)
        self.answer = folder / "answer"

    def environment(self, **more: str) -> dict[str, str]:
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SAMEPAGE"))}
        return plain | {"HOME": str(self.home), "USER": "ada", "EMPTY": "", **more}

    def start(
        self, *words: str, aligned: bool, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        settings = {
            "SAMEPAGE_SINGLEUSER": str(self.script),
            "SAMEPAGE_ALIGNED": "1",
            "PYTHONPATH": str(ROOT),
        }
        # What runs in the background of a script has SIGINT ignored, and hands that on.
        fresh = ["env", "--default-signal=INT"]
        command = [*fresh, *(WRAPPER if aligned else [str(self.script)]), *words]
        return subprocess.Popen(
            command,
            env=self.environment(**{**settings, **(variables or {})}),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self.answer.read_text())
        return seen

    def run(
        self, *, aligned: bool = True, variables: Mapping[str, str] | None = None
    ) -> tuple[dict[str, Any], int, str, str]:
        """What it saw, its exit code, stdout and stderr."""
        self.answer.unlink(missing_ok=True)
        process = self.start(str(self.answer), "exit", aligned=aligned, variables=variables)
        said, complained = process.communicate(timeout=90)
        seen = self.told()
        assert seen["facts"].pop("pid") == process.pid
        return seen, process.returncode, said, complained


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_program_sees_what_it_sees_without_us(place: Place) -> None:
    expected, code, said, complained = place.run(aligned=False)
    seen, *rest = place.run()
    assert seen["pages"] is not None
    assert rest == [code, said, complained] == [7, "said on stdout\n", ""]
    assert seen["facts"] == expected["facts"]


def test_a_shared_secret_moves_it_and_nothing_else(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"sixteen bytes or more")
    variables = {"SAMEPAGE_LAYOUT_SECRET": str(secret)}
    expected, *_ = place.run(aligned=False, variables=variables)
    seen, *_, complained = place.run(variables=variables)
    assert seen["pages"] is not None, complained
    assert seen["facts"] == expected["facts"]


def pages(pid: int) -> dict[int, bytes]:
    """Private writable memory of a process: hashes of its pages by address, zero pages left out."""
    found: dict[int, bytes] = {}
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:  # noqa: PTH123 - not a real file
        for row in Path(f"/proc/{pid}/maps").read_text().splitlines():
            addresses, rights = row.split()[:2]
            start, end = (int(part, 16) for part in addresses.split("-"))
            if rights != "rw-p":
                continue
            for address in range(start, end, 4096):
                memory.seek(address)
                content = memory.read(4096)
                if content.strip(b"\0"):
                    found[address] = blake2b(content, digest_size=8).digest()
    return found


def test_two_servers_have_most_pages_in_common(tmp_path: Path) -> None:
    shares = {}
    for aligned in (False, True):
        seen = []
        for folder, user in (("a", "ada"), ("another-folder", "maximilian-alexander")):
            place = Place(tmp_path / f"{folder}-{aligned}")
            process = place.start(
                str(place.answer), "wait", aligned=aligned, variables={"USER": user}
            )
            until(place.answer.exists, process, 60)
            seen.append(pages(process.pid))
            process.kill()
            process.communicate()
        first, second = seen
        equal = sum(second.get(address) == content for address, content in first.items())
        shares[aligned] = equal / len(first)
    assert shares[False] < 0.1
    assert shares[True] > 0.6, shares


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"SAMEPAGE_ALIGNED": "0"}, ""),
        ({"SAMEPAGE_MERGE": "0"}, ""),
        ({"PY_SAX_PARSER": "xml.sax.expatreader"}, "the libraries of the server read PY_SAX"),
        ({"PYTHONINSPECT": ""}, None),
        ({"SAMEPAGE_LAYOUT_SECRET": "/nonexistent"}, "the layout secret cannot be read"),
    ],
)
def test_on_any_doubt_it_is_the_stock_command(
    place: Place, variables: dict[str, str], words: str | None
) -> None:
    expected, code, said, _ = place.run(aligned=False, variables=variables)
    seen, *rest, complained = place.run(variables=variables)
    assert rest == [code, said]
    assert seen["facts"] == expected["facts"]
    if words is not None:
        assert seen["pages"] is None
        assert words in complained
        assert bool(words) is bool(complained)


def test_a_folder_of_the_owner_that_shadows_a_library(place: Place) -> None:
    (place.home / "lib").mkdir()
    (place.home / "lib" / "yaml.py").write_text("mine = True\n")
    variables = {"PYTHONPATH": f"{place.home / 'lib'}:{ROOT}"}
    process = place.start(str(place.answer), "exit", aligned=True, variables=variables)
    complained = process.communicate(timeout=90)[1]
    assert process.returncode == 7
    assert f"{place.home / 'lib'} has its own yaml" in complained
    assert place.told()["pages"] is None


def test_where_seccomp_refuses_the_layout(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    if platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("the filter knows two machines")
    filtered = [sys.executable, str(Path(__file__).with_name("kernels_seccomp.py")), "layout"]
    monkeypatch.setattr(f"{__name__}.WRAPPER", [*filtered, *WRAPPER])
    seen, code, said, complained = place.run()
    assert (code, said, seen["pages"]) == (7, "said on stdout\n", None)
    assert "refused a fixed layout (Operation not permitted)" in complained


def test_a_python_that_is_missing_leaves_everything_as_it_was(place: Place) -> None:
    place.script.write_text("#!/nonexistent/python3\n")
    process = place.start(aligned=True)
    complained = process.communicate(timeout=30)[1]
    assert process.returncode == 127
    assert "its Python cannot run" in complained
    assert f"cannot run {place.script}" in complained


def test_a_program_that_is_no_script_runs_too(place: Place) -> None:
    process = place.start(
        "-c", "exit 5", aligned=True, variables={"SAMEPAGE_SINGLEUSER": "/bin/sh"}
    )
    assert "is not a script of Python" in process.communicate(timeout=30)[1]
    assert process.returncode == 5


def test_a_missing_command_is_named(place: Place) -> None:
    process = place.start(aligned=True, variables={"SAMEPAGE_SINGLEUSER": "no-such-server"})
    assert "found none of no-such-server" in process.communicate(timeout=30)[1]
    assert process.returncode == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_signals_end_it_as_ever(place: Place, number: signal.Signals) -> None:
    codes = []
    for aligned in (False, True):
        place.answer.unlink(missing_ok=True)
        process = place.start(str(place.answer), "wait", aligned=aligned)
        until(place.answer.exists, process, 60)
        process.send_signal(number)
        process.communicate(timeout=30)
        codes.append(process.returncode)
    assert codes[0] == codes[1] == -number


def test_help_passes_through(place: Place) -> None:
    variables = {"SAMEPAGE_SINGLEUSER": "jupyter-lab"}
    process = place.start("--help", aligned=True, variables=variables)
    said, _ = process.communicate(timeout=90)
    assert process.returncode == 0
    assert "--ServerApp" in said or "JupyterLab" in said


def test_a_jupyter_server_answers_and_starts_kernels(place: Place, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    variables = {
        "SAMEPAGE_SINGLEUSER": "jupyter-lab",
        "JUPYTER_TOKEN": "t" * 20,
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
    }
    words = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--ServerApp.ip=127.0.0.1"]
    log = tmp_path / "log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*WRAPPER, *words],
            env=place.environment(SAMEPAGE_ALIGNED="1", PYTHONPATH=str(ROOT), **variables),
            cwd=place.home,
            stderr=errors,
            text=True,
        )

    def ask(path: str, *, post: bool = False) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/{path}",
            headers={"Authorization": f"token {'t' * 20}"},
            data=b"{}" if post else None,
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.loads(answer.read())

    def answers() -> bool:
        try:
            return "version" in ask("api")
        except urllib.error.URLError:
            return False

    try:
        until(answers, process, 60)
        kernel = ask("api/kernels", post=True)["id"]
        assert [one["id"] for one in ask("api/kernels")] == [kernel]
        settings = ask("lab/api/settings")
        assert settings["settings"]
        assert "without alignment" not in log.read_text()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
