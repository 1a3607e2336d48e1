"""What of the bundle joins an image, and what makes the image's server start as stock."""

from __future__ import annotations

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[3]
BUNDLE = ROOT / "images" / "bundle"
SITE = f"site-{sys.version_info[0]}.{sys.version_info[1]}"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BUNDLE / "libexec" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


survey = load("survey")


def add(folder: Path, name: str, version: str, *requires: str) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    (info / "METADATA").write_text("\n".join(lines) + "\n")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle that needs a Jupyter 4 of the image and brings a proxy, which needs a web client."""
    root = tmp_path / "bundle"
    add(root / "ours", "jupyter-samepage", "0.1", "sp-jupyter>=4,<5; extra == 'notebook'",
        "sp-proxy>=2; extra == 'notebook'", "nvidia; extra == 'nodeagent'")  # fmt: skip
    add(root / SITE, "sp-proxy", "2.1", "sp-client>=3", "sp-jupyter")
    add(root / SITE, "sp-client", "3.5", "win; sys_platform == 'win32'")
    for name in ("jupyter-samepage", "sp-proxy", "sp-client"):
        (root / "data" / name / "share" / "jupyter").mkdir(parents=True)
    (root / "data" / "jupyter-samepage" / "etc" / "jupyter").mkdir(parents=True)
    return root


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The image's site-packages, with its Jupyter."""
    folder = tmp_path / "image"
    add(folder, "sp-jupyter", "4.2")
    monkeypatch.syspath_prepend(str(folder))
    return folder


def test_what_the_image_lacks_joins_with_what_that_needs(bundle: Path, image: Path) -> None:
    joined = survey.survey(bundle)
    assert set(joined.names) == {"jupyter-samepage", "sp-proxy", "sp-client"}
    assert joined.folders == (bundle / "ours", bundle / SITE)


def test_what_the_image_has_stays_its_own(bundle: Path, image: Path) -> None:
    add(image, "sp-proxy", "2.9")
    joined = survey.survey(bundle)
    assert joined.names == ("jupyter-samepage",)
    found = survey.variables({}, bundle, joined, Path("/run/server"))
    assert found["JUPYTER_PATH"] == str(bundle / "data/jupyter-samepage/share/jupyter")


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("sp-proxy", "1.9", "jupyter-samepage needs sp-proxy>=2; the image has 1.9"),
        ("sp-client", "2.0", "sp-proxy needs sp-client>=3; the image has 2.0"),
    ],
)
def test_an_older_one_in_the_image_means_stock(
    bundle: Path, image: Path, name: str, version: str, message: str
) -> None:
    add(image, name, version)
    with pytest.raises(survey.UnfitError, match=message.replace(".", r"\.")):
        survey.survey(bundle)


def test_an_image_without_jupyter_means_stock(bundle: Path) -> None:
    with pytest.raises(survey.UnfitError, match="the image has no sp-jupyter"):
        survey.survey(bundle)


def test_a_python_that_the_bundle_does_not_know_means_stock(bundle: Path, image: Path) -> None:
    (bundle / SITE).rename(bundle / "site-3.10")
    with pytest.raises(survey.UnfitError, match=r"this is Python .*; the bundle has 3\.10"):
        survey.survey(bundle)


def test_variables_keep_what_was_given_first(bundle: Path, image: Path) -> None:
    given = {"JUPYTER_PATH": "/mine", "OTHER": "kept"}
    found = survey.variables(given, bundle, survey.survey(bundle), Path("/run/server"))
    assert found["JUPYTER_PATH"].startswith("/mine:")
    assert found["JUPYTER_CONFIG_PATH"] == str(bundle / "data/jupyter-samepage/etc/jupyter")
    assert found["SAMEPAGE_SINGLEUSER"] == "/run/server"
    assert found["OTHER"] == "kept"
    assert "PYTHONPATH" not in found


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python without any package."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False)
    return folder / "bin" / "python3"


def stock_script(folder: Path, python: Path = Path(sys.executable)) -> Path:
    script = folder / "jupyterhub-singleuser"
    script.write_text(
        f"#!{python}\nimport os, sys\n"
        "print(sys.argv, __file__, __name__, sys.path[-2:], os.environ.get('PYTHONPATH'))\n"
    )
    script.chmod(0o755)
    return script


def test_the_start_is_the_images_own_script_with_two_more_folders(
    bundle: Path, image: Path, tmp_path: Path
) -> None:
    stock = stock_script(tmp_path)
    start = survey.write_start(bundle, str(stock), survey.survey(bundle))
    assert start == bundle / "run" / "jupyterhub-singleuser"
    assert survey.write_start(bundle, str(stock), survey.survey(bundle)) == start
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    said = subprocess.run(
        [start, "--port=1"], env=environment, capture_output=True, text=True, check=True
    ).stdout
    folders = [str(bundle / "ours"), str(bundle / SITE)]
    assert said == f"{[str(stock), '--port=1']} {stock} __main__ {folders} None\n"


def test_a_start_that_is_no_script_of_python_means_stock(bundle: Path, tmp_path: Path) -> None:
    joined = survey.Joined(folders=(bundle,), names=())
    with pytest.raises(survey.UnfitError, match="not a script of Python"):
        survey.write_start(bundle, "/bin/sh", joined)


def shell(*words: str | Path, path: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", *[str(word) for word in words]],
        env={"PATH": path, **more}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_wrapper_starts_stock_with_the_reason_on_any_doubt(
    tmp_path: Path, bare_python: Path
) -> None:
    stock = stock_script(tmp_path, bare_python)
    path = f"{tmp_path}:/usr/bin:/bin"
    wrapper = BUNDLE / "bin" / "samepage-singleuser"
    done = shell(wrapper, "--port=1", path=path)
    assert done.returncode == 0
    assert done.stdout.startswith(f"{[str(stock), '--port=1']}")
    reason = f"{bare_python} has no JupyterLab"
    assert done.stderr == f"samepage-singleuser: starting without Samepage: {reason}\n"
    off = shell(wrapper, path=path, SAMEPAGE_BUNDLE="off")
    assert off.stderr == ""
    assert off.stdout.startswith(f"{[str(stock)]}")


def test_wrapper_reads_past_options_of_env(tmp_path: Path, bare_python: Path) -> None:
    stock = stock_script(tmp_path, Path(f"/usr/bin/env -S {bare_python}"))
    done = shell(BUNDLE / "bin" / "samepage-singleuser", path=f"{tmp_path}:/usr/bin:/bin")
    assert done.stdout.startswith(f"{[str(stock)]}"), done.stderr


def test_a_survey_that_fails_unforeseen_means_stock(tmp_path: Path) -> None:
    """Such as an image with half a distribution in its site-packages."""
    enter = shutil.copy(BUNDLE / "libexec" / "enter.py", tmp_path / "enter.py")
    (tmp_path / "survey.py").write_text("def become(*words):\n    raise KeyError('Version')\n")
    stock = stock_script(tmp_path)
    done = subprocess.run(
        [sys.executable, enter, stock, "--port=1"],
        env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.stdout.startswith(f"{[str(stock), '--port=1']}"), done.stderr
    assert "starting without Samepage: KeyError: 'Version'" in done.stderr


def test_wrapper_passes_the_words_of_a_chosen_command(tmp_path: Path, bare_python: Path) -> None:
    stock = stock_script(tmp_path, bare_python)
    done = shell(
        BUNDLE / "bin" / "samepage-singleuser", "--b",
        path="/usr/bin:/bin", SAMEPAGE_SINGLEUSER=f"{stock} --a",
    )  # fmt: skip
    assert done.stdout.startswith(f"{[str(stock), '--a', '--b']}")


def test_an_image_with_its_own_samepage_uses_that(tmp_path: Path) -> None:
    """This environment has one: its wrapper finds the chosen command by itself."""
    stock = stock_script(tmp_path)
    done = shell(
        BUNDLE / "bin" / "samepage-singleuser", "--b",
        path="/usr/bin:/bin", SAMEPAGE_SINGLEUSER=f"{stock} --a", SAMEPAGE_ALIGNED="0",
    )  # fmt: skip
    assert done.stdout.startswith(f"{[str(stock), '--a', '--b']}")
    assert not (BUNDLE / "run").exists()


def test_wrapper_without_any_server_says_so(tmp_path: Path) -> None:
    done = shell(BUNDLE / "bin" / "samepage-singleuser", path="/usr/bin:/bin")
    assert done.returncode == 127
    assert "this image has no jupyterhub-singleuser" in done.stderr


def test_an_older_python_can_read_the_start() -> None:
    """Nothing in it that Python 3.6 would refuse: no f-strings of later kinds, no matches."""
    source = (BUNDLE / "libexec" / "enter.py").read_text()
    compile(source, "enter.py", "exec", dont_inherit=True, flags=0)
    ast.parse(source, feature_version=(3, 6))


def test_install_copies_once_and_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "install").write_text((BUNDLE / "bin" / "install").read_text())
    (tree / "VERSION").write_text("0.1.0\n")
    target = tmp_path / "target"
    missing = shell(tree / "bin" / "install", target, path="/usr/bin:/bin")
    assert missing.returncode == 1
    assert "Mount an emptyDir there" in missing.stderr
    target.mkdir()
    first = shell(tree / "bin" / "install", target, path="/usr/bin:/bin")
    assert first.stdout == f"samepage bundle: 0.1.0 is in {target}\n"
    assert (target / "bin" / "install").exists()
    again = shell(tree / "bin" / "install", target, path="/usr/bin:/bin")
    assert again.stdout == "samepage bundle: 0.1.0 is there already\n"
    own = shell(tree / "bin" / "install", tree, path="/usr/bin:/bin")
    assert own.returncode == 1
