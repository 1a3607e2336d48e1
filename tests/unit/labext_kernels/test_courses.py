"""Which modules and switches of the courses count for a kernel, by the folder it starts in."""

from __future__ import annotations

from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec
from traitlets.config import Config

from labext.courses.manifest import read
from labext.kernels import courses as courses_module
from labext.kernels.courses import CourseKernels, completed, course_of, modules_for
from labext.kernels.provisioner import SamepageProvisioner
from labext.kernels.recipe import DEFAULT_MODULES
from labext.kernels.server_spare import kernels_of

STATS = CourseKernels(folder=Path("/home/ada/stats"), preload=("pandas", "numpy"))
LEARN = CourseKernels(folder=Path("/home/ada/learn"), preload=("torch",), align=False)
PLAIN = CourseKernels(folder=Path("/home/ada/stats/plain"))
ALL = (STATS, LEARN, PLAIN)


@pytest.mark.parametrize(
    ("folder", "course"),
    [
        ("/home/ada/stats", STATS),
        ("/home/ada/stats/week 1/deep", STATS),
        ("/home/ada/stats/plain/x", PLAIN),
        ("/home/ada/stats2", None),
        ("/home/ada", None),
    ],
)
def test_the_innermost_course(folder: str, course: CourseKernels | None) -> None:
    assert course_of(Path(folder), ALL) == course


def test_modules_by_folder() -> None:
    of_stats = ["pandas", "numpy", "numpy.random"]
    assert modules_for(Path("/home/ada/stats/a"), ALL) == of_stats
    assert modules_for(Path("/home/ada/learn"), ALL) == ["torch"]
    assert modules_for(Path("/home/ada"), ALL) == [*of_stats, "torch"]
    assert modules_for(None, [STATS]) == of_stats
    assert modules_for(PLAIN.folder, ALL) is None
    assert modules_for(Path("/home"), []) is None


def test_what_belongs_to_a_module_comes_with_it() -> None:
    assert completed(["matplotlib.pyplot", "matplotlib.pyplot"]) == [
        "matplotlib.pyplot",
        "matplotlib_inline.backend_inline",
    ]


def provisioner(**settings: object) -> SamepageProvisioner:
    made = SamepageProvisioner(
        kernel_id="k", kernel_spec=KernelSpec(), config=Config({"SamepageProvisioner": settings})
    )
    assert isinstance(made, SamepageProvisioner)
    return made


def test_who_says_what_to_preload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SAMEPAGE_PRELOAD", raising=False)
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    course = CourseKernels(folder=tmp_path / "real", preload=("torch",))
    monkeypatch.setattr(courses_module.courses, "source", lambda: (course,))

    def asked(folder: Path | None, **settings: object) -> list[str]:
        made = provisioner(**settings)
        made.follow_course(folder)
        return list(made.preload_modules)

    assert asked(tmp_path / "link") == asked(None) == ["torch"]
    assert asked(tmp_path / "real", preload_modules=["scipy"]) == ["scipy"]
    assert asked(tmp_path / "real", preload_modules=[]) == []
    monkeypatch.setenv("SAMEPAGE_PRELOAD", "json")
    assert asked(tmp_path / "real") == ["json"]
    monkeypatch.delenv("SAMEPAGE_PRELOAD")
    monkeypatch.setattr(courses_module.courses, "source", tuple)
    assert asked(tmp_path / "real") == list(DEFAULT_MODULES)


def test_from_the_manifest_to_the_kernels(tmp_path: Path) -> None:
    text = """
version: 1
courses:
  - id: a
    url: https://git.example.org/a.git
    preload: [numpy]
    merge: false
  - id: b
    url: https://git.example.org/b.git
    target: out
    align: false
"""
    specs = read(text.encode(), "m.yml")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    (found,) = kernels_of(specs, tmp_path / "root")
    assert found == CourseKernels(
        folder=tmp_path / "root" / "a", preload=("numpy",), merge=False, align=True
    )
    assert [spec.align for spec in specs] == [True, False]
