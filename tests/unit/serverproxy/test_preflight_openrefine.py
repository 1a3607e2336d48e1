"""What keeps OpenRefine from running, in the order a person has to solve it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serverproxy.heap import MIB
from serverproxy.preflight import java as java_preflight
from serverproxy.preflight.folder import FolderFacts
from serverproxy.preflight.folder import look as look_at_folder
from serverproxy.preflight.java import JavaFacts, JavaRange, java_for, major_version
from serverproxy.preflight.openrefine import OpenRefineFacts, data_dir, judge, look
from serverproxy.preflight.openrefine_home import OpenRefineHome, find
from serverproxy.settings import AppSettings
from tests.standins.machine import Machine

HOME = OpenRefineHome(folder=Path("/opt/or"), libraries=Path("/opt/or/server"), version="3.9.5")
JAVA_17 = JavaFacts(program=Path("/usr/bin/java"), source="PATH", home=None, major=17)
GOOD = OpenRefineFacts(
    home=HOME,
    configured_home=None,
    java=JAVA_17,
    data=FolderFacts(path=Path("/home/alice/or"), writable=True, free_bytes=1 << 33),
    available_bytes=1 << 33,
    heap_mib=None,
    distribution=frozenset({"debian"}),
)


def test_all_there() -> None:
    report = judge(GOOD)
    assert (report.available, report.reason, report.fix, report.version) == (
        True,
        None,
        None,
        "3.9.5",
    )


@pytest.mark.parametrize(
    ("facts", "code", "in_reason", "in_fix"),
    [
        pytest.param(
            replace(GOOD, home=None), "not_installed", "not installed", "apt-get install openrefine"
        ),
        pytest.param(
            replace(GOOD, home=None, distribution=frozenset({"ubuntu", "debian"})),
            "not_installed",
            "not installed",
            "apt-get install openrefine",
            id="Ubuntu",
        ),
        pytest.param(
            replace(GOOD, home=None, distribution=frozenset({"fedora"})),
            "not_installed",
            "not installed",
            "openrefine.org/download",
            id="no package here",
        ),
        pytest.param(
            replace(GOOD, home=None, configured_home=Path("/opt/nothing")),
            "home_wrong",
            "/opt/nothing",
            "SAMEPAGE_OPENREFINE_HOME",
        ),
        pytest.param(
            replace(GOOD, java=replace(JAVA_17, program=None, major=None)),
            "java_missing",
            "OpenRefine 3.9.5 needs Java",
            "apt-get install default-jre-headless",
        ),
        pytest.param(
            replace(
                GOOD, java=JavaFacts(program=None, source="JAVA_HOME", home="/opt/jdk", major=None)
            ),
            "java_home_wrong",
            "JAVA_HOME is /opt/jdk",
            "Set JAVA_HOME",
        ),
        pytest.param(
            replace(GOOD, java=replace(JAVA_17, major=None)),
            "java_broken",
            "/usr/bin/java",
            "/usr/bin/java -version",
        ),
        pytest.param(
            replace(GOOD, java=replace(JAVA_17, major=10)),
            "java_too_old",
            "needs Java 11 or later, and /usr/bin/java is Java 10",
            "apt-get install",
        ),
        pytest.param(
            replace(GOOD, java=replace(JAVA_17, major=8, source="JAVA_HOME", home="/opt/jdk8")),
            "java_too_old",
            "Java 8",
            "set JAVA_HOME",
            id="old JAVA_HOME",
        ),
        pytest.param(
            replace(GOOD, home=replace(HOME, version="3.11.0")),
            "java_too_old",
            "needs Java 21",
            "Java 21 or later",
            id="next release",
        ),
        pytest.param(
            replace(GOOD, data=replace(GOOD.data, writable=False)),
            "data_dir_unwritable",
            "/home/alice/or",
            "SAMEPAGE_OPENREFINE_DATA_DIR",
        ),
        pytest.param(
            replace(GOOD, data=replace(GOOD.data, free_bytes=3 * MIB)),
            "disk_full",
            "3 MiB left",
            "Delete files",
        ),
        pytest.param(
            replace(GOOD, available_bytes=100 * MIB),
            "memory_short",
            "Only 100 MiB of memory are free",
            "Shut down kernels",
        ),
    ],
)
def test_not_available(facts: OpenRefineFacts, code: str, in_reason: str, in_fix: str) -> None:
    report = judge(facts)
    assert not report.available
    assert report.code == code
    assert report.reason is not None
    assert in_reason in report.reason
    assert report.fix is not None
    assert in_fix in report.fix


def test_a_set_heap_is_not_second_guessed() -> None:
    assert judge(replace(GOOD, available_bytes=100 * MIB, heap_mib=300)).available


def test_unknown_memory_and_disk_do_not_stop_it() -> None:
    data = replace(GOOD.data, free_bytes=None)
    assert judge(replace(GOOD, available_bytes=None, data=data)).available


def test_a_java_that_is_newer_than_tested_runs_with_a_word_about_it() -> None:
    report = judge(replace(GOOD, java=replace(JAVA_17, major=25)))
    assert report.available
    assert report.code == "java_untested"
    assert report.reason is not None
    assert "up to Java 21" in report.reason


@pytest.mark.parametrize(
    ("text", "major"),
    [
        ("17.0.15", 17),
        ("1.8.0_392", 8),
        ("21-ea", 21),
        ("11", 11),
        ("25.0.1+8-LTS", 25),
        ("", None),
    ],
)
def test_java_versions(text: str, major: int | None) -> None:
    assert major_version(text) == major


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ((3, 5, 2), JavaRange(least=8, tested=17)),
        ((3, 6, 2), JavaRange(least=11, tested=17)),
        ((3, 7, 9), JavaRange(least=11, tested=17)),
        ((3, 8), JavaRange(least=11, tested=21)),
        ((3, 10, 1), JavaRange(least=11, tested=21)),
        ((3, 11), JavaRange(least=21, tested=25)),
        ((4, 0), JavaRange(least=21, tested=25)),
        (None, JavaRange(least=11, tested=None)),
    ],
)
def test_java_wanted(version: tuple[int, ...] | None, wanted: JavaRange) -> None:
    assert java_for(version) == wanted


def test_java_is_not_run_when_its_release_file_tells(machine: Machine) -> None:
    home = machine.java("21.0.2")
    facts = java_preflight.look(machine.host())
    assert (facts.program, facts.major, facts.source) == (machine.bin / "java", 21, "PATH")
    assert not (home / "runs").exists()


def test_java_without_release_file_is_run_once_until_it_changes(machine: Machine) -> None:
    home = machine.java("1.8.0_392", release=False)
    for _ in range(3):
        assert java_preflight.look(machine.host()).major == 8
    assert (home / "runs").read_text() == "run\n"
    machine.java("11.0.2", release=False)
    assert java_preflight.look(machine.host()).major == 11


def test_java_home_wins_over_path(machine: Machine) -> None:
    machine.java("17.0.1")
    machine.env["JAVA_HOME"] = str(machine.java("21.0.2", "jvm21"))
    machine.java("17.0.1")
    facts = java_preflight.look(machine.host())
    assert (facts.major, facts.source) == (21, "JAVA_HOME")
    machine.env["JAVA_HOME"] = str(machine.root / "nowhere")
    facts = java_preflight.look(machine.host())
    assert (facts.program, facts.home) == (None, str(machine.root / "nowhere"))


def test_no_java_and_a_java_that_fails(machine: Machine) -> None:
    assert java_preflight.look(machine.host()).program is None
    machine.on_path("java", "#!/bin/sh\nexit 1\n")
    facts = java_preflight.look(machine.host())
    assert facts.program is not None
    assert facts.major is None


def test_kit_behind_a_link_on_path(machine: Machine) -> None:
    kit = machine.kit(machine.root / "kits/openrefine-3.9.5")
    (machine.bin / "refine").symlink_to(kit / "refine")
    home = find(machine.host(), None)
    assert home is not None
    assert (home.folder, home.version) == (kit, "3.9.5")
    assert home.class_path() == f"{kit}/server/target/lib/*"
    (kit / "server/classes").mkdir()
    assert home.class_path() == f"{kit}/server/classes:{kit}/server/target/lib/*"


def test_debian_wrapper_is_followed(machine: Machine) -> None:
    kit = machine.kit(machine.root / "srv/openrefine", "3.6.2", "server")
    machine.on_path("openrefine", '#!/bin/sh\n\nset -e\n\ncd /srv/openrefine\n./refine "$@"\n')
    home = find(machine.host(), None)
    assert home is not None
    assert (home.folder, home.version_numbers) == (kit, (3, 6, 2))


def test_wrapper_that_names_the_script(machine: Machine) -> None:
    kit = machine.kit(machine.root / "srv/or")
    machine.on_path("refine", '#!/bin/bash\nexec "/srv/or/refine" "$@"\n')
    home = find(machine.host(), None)
    assert home is not None
    assert home.folder == kit


def test_usual_place(machine: Machine) -> None:
    kit = machine.kit(machine.root / "usr/share/openrefine")
    home = find(machine.host(), None)
    assert home is not None
    assert home.folder == kit


def test_a_set_folder_is_the_only_one_looked_at(machine: Machine) -> None:
    machine.kit(machine.root / "usr/share/openrefine")
    mine = machine.kit(machine.home / "or", "3.10.1")
    host = machine.host()
    found = find(host, mine)
    assert found is not None
    assert found.version == "3.10.1"
    assert find(host, machine.home / "empty") is None


def test_another_program_called_refine_is_not_openrefine(machine: Machine) -> None:
    machine.on_path("refine", "#!/bin/sh\necho /usr/bin/sort\n")
    machine.program(machine.bin / "openrefine").write_bytes(b"\x7fELF\xff\xfe")
    assert find(machine.host(), None) is None


def test_a_kit_without_its_jars_is_not_installed(machine: Machine) -> None:
    kit = machine.kit(machine.root / "usr/share/openrefine")
    for jar in (kit / "server/target/lib").iterdir():
        jar.unlink()
    assert find(machine.host(), None) is None


def test_data_dir(machine: Machine) -> None:
    host = machine.host()
    assert data_dir(host, AppSettings()) == machine.home / ".local/share/openrefine"
    machine.env["XDG_DATA_HOME"] = "/data/alice"
    assert data_dir(machine.host(), AppSettings()) == Path("/data/alice/openrefine")
    machine.env["XDG_DATA_HOME"] = "relative"
    assert data_dir(machine.host(), AppSettings()) == machine.home / ".local/share/openrefine"
    chosen = AppSettings(openrefine_data_dir=Path("/x"))
    assert data_dir(host, chosen) == Path("/x")


def test_folder_that_is_not_there_yet(machine: Machine) -> None:
    wanted = machine.home / "a/b/c"
    facts = look_at_folder(wanted)
    assert facts.writable
    assert not wanted.exists()
    (machine.home / "a").write_text("a file in the way")
    assert not look_at_folder(wanted).writable


def test_looking_at_a_whole_machine(machine: Machine) -> None:
    machine.distribution('ID=ubuntu\nID_LIKE="debian"\nNAME="x"\n')
    host = machine.host()
    assert judge(look(host, AppSettings())).code == "not_installed"
    machine.kit(machine.root / "usr/share/openrefine")
    facts = look(machine.host(), AppSettings())
    assert facts.distribution == {"ubuntu", "debian"}
    assert judge(facts).code == "java_missing"
    machine.java("17.0.2")
    assert judge(look(machine.host(), AppSettings())).available
    assert not (machine.home / ".local").exists()
