"""The real pynvml and the real child process against a stand-in library built from C."""

import asyncio
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from nodeagent.gpu.model import GpuReport
from nodeagent.gpu.reader import NvmlReader

CC = shutil.which("cc")
SOURCE = Path(__file__).parents[2] / "standins/nvml/nvml_standin.c"
GIB = 2**30

needs_cc = pytest.mark.skipif(CC is None, reason="the stand-in library needs a C compiler")

FULL = f"""count 1
gpu0.uuid GPU-1234
gpu0.name Stand-in Card
gpu0.total {16 * GIB}
gpu0.used {4 * GIB}
gpu0.free {12 * GIB}
gpu0.busy 37
gpu0.pids 3
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvml")
    target = folder / "libnvidia-ml.so.1"
    command = [str(CC), "-shared", "-fPIC", "-Wall", "-Werror", "-o", str(target), str(SOURCE)]
    subprocess.run(command, check=True)
    return folder


class Rig:
    def __init__(self, library: Path, folder: Path) -> None:
        self.state = folder / "nvml.txt"
        self.state.write_text(FULL)
        self.env = os.environ | {
            "LD_LIBRARY_PATH": str(library),
            "SAMEPAGE_NVML_STANDIN": str(self.state),
        }

    def reader(self, timeout: float = 20.0) -> NvmlReader:
        return NvmlReader(
            timeout=timeout,
            clock=time.monotonic,
            env=self.env,
            has_library=lambda: True,
            retry_first=0.0,
        )

    def run(self, script: Callable[[NvmlReader], Awaitable[None]], timeout: float = 20.0) -> None:
        async def whole() -> None:
            reader = self.reader(timeout)
            try:
                await script(reader)
            finally:
                await reader.close()

        asyncio.run(whole())

    def read(self) -> GpuReport:
        found: list[GpuReport] = []

        async def once(reader: NvmlReader) -> None:
            found.append(await reader.read())

        self.run(once)
        return found[0]


@pytest.fixture
def rig(library: Path, tmp_path: Path) -> Rig:
    return Rig(library, tmp_path)


@needs_cc
def test_everything_reported(rig: Rig) -> None:
    report = rig.read()
    assert (report.state, report.message) == ("ok", "1 GPU.")
    gpu = report.devices[0]
    assert (gpu.uuid, gpu.name, gpu.busy_percent) == ("GPU-1234", "Stand-in Card", 37)
    assert (gpu.memory_used_bytes, gpu.memory_total_bytes) == (4 * GIB, 16 * GIB)
    assert gpu.memory_free_bytes == 12 * GIB
    assert gpu.processes == 3


@needs_cc
@pytest.mark.parametrize(
    ("extra", "field", "value"),
    [
        pytest.param("gpu0.ratesfails 3", "busy_percent", None, id="unsupported-is-none"),
        pytest.param("gpu0.busy 250", "busy_percent", None, id="garbage-is-none"),
        pytest.param("gpu0.memory2fails 13", "memory_used_bytes", 4 * GIB, id="fallback-to-v1"),
        pytest.param("gpu0.memory2fails 25", "memory_used_bytes", 4 * GIB, id="fallback-version"),
        pytest.param(
            "gpu0.memory2fails 3\ngpu0.memoryfails 3", "memory_used_bytes", None, id="unified"
        ),
        pytest.param(f"gpu0.used {2**64 - 1}", "memory_used_bytes", None, id="sentinel"),
        pytest.param("gpu0.pids 0", "processes", 0, id="no-process-is-zero"),
        pytest.param("gpu0.processesfails 3", "processes", None, id="no-list-is-none"),
        pytest.param("gpu0.processesfails 6", "processes", 1, id="not-found-is-empty"),
        pytest.param("gpu0.badpid 1", "processes", None, id="scrambled-list-is-none"),
    ],
)
def test_absent_and_garbage(rig: Rig, extra: str, field: str, value: object) -> None:
    rig.state.write_text(FULL + extra + "\n")
    report = rig.read()
    assert report.state == "ok"
    assert getattr(report.devices[0], field) == value


@needs_cc
def test_a_lost_card_does_not_hide_the_others(rig: Rig) -> None:
    rig.state.write_text(FULL + "count 2\ngpu1.uuid GPU-2\ngpu1.handlefails 15\n")
    report = rig.read()
    assert report.state == "error"
    assert [gpu.uuid for gpu in report.devices] == ["GPU-1234"]
    assert "GPU 1" in report.message
    assert "dmesg" in report.message


@needs_cc
def test_driver_not_loaded_is_a_normal_state(rig: Rig) -> None:
    rig.state.write_text("init 9\n")
    assert rig.read().state == "no_driver"


@needs_cc
def test_version_mismatch_says_what_to_do(rig: Rig) -> None:
    rig.state.write_text("init 18\n")
    report = rig.read()
    assert report.state == "error"
    assert "restart the machine" in report.message


@needs_cc
def test_a_hung_driver_ends_in_stale_and_heals(rig: Rig) -> None:
    async def script(reader: NvmlReader) -> None:
        assert (await reader.read()).state == "ok"
        rig.state.write_text(FULL + "hang 600\n")
        started = time.monotonic()
        report = await reader.read()
        assert time.monotonic() - started < 12
        assert report.state == "stale"
        assert report.devices[0].uuid == "GPU-1234"
        assert report.age_seconds is not None
        assert report.age_seconds > 0
        assert "did not answer within" in report.message
        rig.state.write_text(FULL)
        assert (await reader.read()).state == "ok"

    rig.run(script, timeout=5.0)


def test_no_library_starts_no_process() -> None:
    async def script() -> GpuReport:
        reader = NvmlReader(timeout=1, clock=time.monotonic, has_library=lambda: False)
        report = await reader.read()
        assert reader._child is None
        await reader.close()
        return report

    report = asyncio.run(script())
    assert (report.state, report.devices) == ("no_driver", ())
    assert "libnvidia-ml.so.1" in report.message
