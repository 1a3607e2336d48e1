"""What the soak calls a fault."""

import os

from benchmarks.soak_checks import Books, Leaks, children_of, left_behind

MIB = 2**20


def book(agent: int, sysfs: int, stat: int, tables: int) -> str | None:
    return Books(agent=agent * MIB, sysfs=sysfs * MIB, stat=stat * MIB, tables=tables * MIB).fault()


def test_books_that_agree_are_no_fault() -> None:
    assert book(500, 505, 620, 490) is None


def test_each_of_the_books_can_be_the_one_that_lies() -> None:
    assert "/sys" in str(book(500, 300, 620, 490))
    assert "page tables" in str(book(500, 500, 900, 600))
    assert "ksm_stat" in str(book(500, 500, 300, 490))


def test_pages_written_to_while_ksmd_rests_are_no_fault() -> None:
    assert book(500, 500, 620, 200) is None


def grown(values: list[int]) -> list[str]:
    leaks = Leaks(resident=list(values), descriptors=[9] * len(values))
    return leaks.faults()


def test_an_agent_that_grows_is_seen_and_one_that_breathes_is_not() -> None:
    assert grown([30 * MIB] * 6) == []
    assert grown([30 * MIB, 45 * MIB] * 5) == []
    assert "memory grew" in grown([30 * MIB + number * 3 * MIB for number in range(12)])[0]


def test_a_new_agent_is_not_measured_by_the_old_one() -> None:
    leaks = Leaks(resident=[30 * MIB] * 6, descriptors=[9] * 6)
    leaks.forget()
    leaks.resident = [60 * MIB] * 6
    leaks.descriptors = [9] * 6
    assert leaks.faults() == []


def test_a_reading_of_this_process() -> None:
    leaks = Leaks()
    leaks.look(os.getpid())
    assert leaks.resident[0] > MIB
    assert leaks.span("descriptors", 1) != "-"


def test_a_process_that_went_is_not_left_behind() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    assert pid in children_of(os.getpid())
    os.waitpid(pid, 0)
    assert left_behind({pid: "S"}) == []
