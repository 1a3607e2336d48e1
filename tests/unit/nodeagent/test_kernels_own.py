"""What a student's server is told of its own kernels, and whether donors are like the students'."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from nodeagent.kernels.ask import HOLD_SECONDS, MOST_KERNELS, Answers, verdicts
from nodeagent.kernels.count import Survey, Told, count
from nodeagent.kernels.donate import compared, donor_sentence
from nodeagent.kernels.renew import AGAIN_SECONDS, PAUSE_SECONDS, SETTLE_SECONDS, DonorAdvice
from nodeagent.kernels.switches import ALL_ON
from nodeagent.kernels.table import FORMAT, Table, asker_of, parse
from nodeagent.kernels.view import donor_trouble, own_kernels, section
from nodeagent.status import workload_lines
from nodeagent.view import node_json, workloads_json
from nodeagent.workloads.owner import Owner
from tests.unit.nodeagent.support import sample, status
from tests.unit.nodeagent.test_kernels import aligned, stock, student, unlike

WORD = "0123456789abcdef" * 2
LIB = "/home/ada/lib"


def table(*kernels: dict[str, Any], word: str | None = None, image: str = "course:1") -> Table:
    numbered = [kernel | {"id": f"k{number}"} for number, kernel in enumerate(kernels)]
    said = {"format": FORMAT, "image": image, "ask": word, "kernels": numbered}
    return parse(json.dumps(said).encode())


def drifted(seed: int = 1, **changes: Any) -> dict[str, Any]:
    return aligned(**{"pages": unlike(seed), "layout": f"{seed:x}"} | changes)


def others(number: int, kernel: dict[str, Any] | None = None) -> list[tuple[Owner, Table]]:
    return [(student(each), table(kernel or aligned())) for each in range(1, number + 1)]


def told(mine: Table, *neighbours: tuple[Owner, Table]) -> list[tuple[str, str, str]]:
    survey = Survey([*neighbours, (student(0), mine)])
    return [(each.kernel, each.code, each.name) for each in verdicts(survey, student(0))]


@pytest.mark.parametrize(
    ("changes", "most", "code", "name"),
    [
        ({"folders": {"/opt/site": "22", LIB: "5"}}, {}, "folder", LIB),
        ({"folders": {"/opt/site": "23"}}, {}, "files", "/opt/site"),
        ({"folders": {}}, {}, "missing", ""),
        ({"environment": {"LANG": "12"}}, {}, "variable", "LANG"),
        ({"environment": {}}, {}, "variable", ""),
        ({"modules": ["numpy"], "dropped": ["pandas"]}, {}, "module", "pandas"),
        ({"modules": ["numpy", "pandas"]}, {"modules": ["numpy"], "dropped": ["pandas"]},
         "modules", "pandas"),
        ({"versions": {"pandas": "2.1"}}, {"versions": {"pandas": "2.2"}}, "version", "pandas 2.1"),
        ({"python": "cpython-311 bb"}, {}, "python", ""),
        ({}, {}, "unknown", ""),
    ],
)  # fmt: skip
def test_a_student_learns_why_the_own_kernel_drifted(
    changes: dict[str, Any], most: dict[str, Any], code: str, name: str
) -> None:
    mine = table(aligned(**most), drifted(**changes), word=WORD)
    assert told(mine, *others(3, aligned(**most))) == [("k1", code, name)]


def test_an_image_with_another_build_of_python_is_drift_for_the_operator_too() -> None:
    found = count([*others(3), (student(0), table(drifted(python="cpython-311 bb")))])
    assert (found.total("alike"), found.total("drifted")) == (3, 1)
    (each,) = found.unlike
    assert (each.name, each.state, each.cause) == (
        "p0",
        "drifted",
        "it runs another build of Python",
    )


def test_nothing_is_said_where_it_would_be_about_few() -> None:
    mine = table(drifted(), word=WORD)
    assert told(mine, *others(2)) == []
    assert told(mine, *others(3)) != []
    # Three of six agree: that is not most of them.
    split = [(student(10 + each), table(drifted(20 + each))) for each in range(3)]
    assert told(mine, *others(3), *split) == []


def test_own_kernels_have_no_vote() -> None:
    """Else somebody could find out by many kernels what single neighbours have."""
    mine = table(*[drifted(7) for _ in range(20)], aligned(), word=WORD)
    assert {code for _, code, _ in told(mine, *others(3))} == {"unknown"}
    assert told(table(drifted(7), aligned(), word=WORD), *others(2)) == []
    assert told(table(drifted(5), word=WORD), *others(2), (student(9), table(drifted(5)))) == []


def test_a_layout_cannot_be_guessed() -> None:
    guess = table(aligned(pages=None, layout="f00"), word=WORD)
    assert told(guess, *others(4)) == []
    assert told(guess, *others(4, aligned(pages=None))) == []
    many = table(*[drifted(each) for each in range(20)], word=WORD)
    again = table(*[drifted(each) for each in range(20)], word=WORD[::-1])
    survey = Survey([*others(3), (student(0), many), (student(0), again)])
    assert len(verdicts(survey, student(0))) == MOST_KERNELS


def test_answers_are_slow_and_end_with_their_kernel() -> None:
    answers = Answers()

    def asked(*kernels: dict[str, Any], now: float) -> list[str]:
        mine = [(student(0), table(*kernels, word=WORD))] if kernels else []
        return [each.kernel for each in answers.renew(Survey([*others(3), *mine]), now)]

    assert asked(drifted(), aligned(), now=0.0) == ["k0"]
    assert asked(aligned(), drifted(), now=HOLD_SECONDS - 1) == ["k0"]
    assert asked(now=HOLD_SECONDS - 1) == []
    assert asked(aligned(), drifted(), now=HOLD_SECONDS - 1) == ["k0"], "away is no new student"
    assert asked(aligned(), drifted(), now=HOLD_SECONDS + 1) == ["k1"]
    assert asked(aligned(), now=HOLD_SECONDS + 2) == []


def test_only_who_knows_the_word_is_answered() -> None:
    asker = asker_of(WORD)
    assert asker is not None
    found = replace(
        count(others(1)), told=(Told(asker=asker, kernel="k0", code="folder", name=LIB),)
    )
    kernel = {"id": "k0", "state": "drifted", "cause": "folder", "name": LIB}
    assert own_kernels(found, asker) == {"kernels": [kernel]}
    assert own_kernels(found, asker_of("f" * 32) or "") == {"kernels": []}
    assert own_kernels(None, asker) == {"kernels": []}
    assert [asker_of(word) for word in ("", "a" * 31, "g" * 32, "é" * 32, "a" * 129)] == [None] * 5
    # The word itself is kept nowhere, and nothing of it is on an open page.
    assert WORD not in repr(table(word=WORD))
    taken = status(taken=sample(kernels=found))
    for open_page in (json.dumps(node_json(taken)), section(ALL_ON, found)):
        assert LIB not in open_page
        assert asker not in open_page
    assert asker not in json.dumps(workloads_json(taken))


def test_no_student_can_put_a_page_into_what_most_have() -> None:
    """The layout's number is no secret in a class: what lies under it must be most students'."""
    liar = (Owner(kind="pod", name="a liar"), table(aligned(pages=unlike(1)), aligned()))
    found = count([liar, *others(4)])
    assert (found.total("alike"), found.total("drifted")) == (5, 1)


def test_the_operator_sees_whose_kernels_are_not_alike() -> None:
    found = count(
        [*others(3), (student(0), table(drifted(), stock("unsuited", f"{LIB} has numpy")))]
    )
    page = workloads_json(status(taken=sample(kernels=found)))
    assert [each["state"] for each in page["unlike_kernels"]] == ["unsuited", "drifted"]
    said = workload_lines(page)
    assert f"pod p0: 1 of course:1 started stock: {LIB} has numpy" in said
    assert "pod p0: 1 of course:1 drifted: its memory is laid out differently" in said


def donor(kernel: dict[str, Any], *students: tuple[Owner, Table], image: str = "") -> Any:
    (found,) = compared(Survey(students), [(12, table(kernel, image=image))])
    return found


def test_a_donor_is_compared_with_whom_it_serves() -> None:
    torch = others(2, drifted(9, modules=["torch"]))
    here = [*others(3), *((student(each + 10), seen) for each, (_, seen) in enumerate(torch))]
    assert donor(aligned(), *here).state == "alike"
    assert donor(drifted(9, modules=["torch"]), *here).state == "alike"
    assert donor(aligned()).state == "alone"
    assert donor(stock("refused", "no layout"), *here).cause == "no layout"
    found = donor(drifted(4, modules=["numpy"], versions={"numpy": "1"}), *others(3))
    assert (found.state, found.image, found.students) == ("drifted", "course:1", 3)
    assert donor_sentence(found) == (
        "donor 12 holds other pages than the kernels of course:1 and donates next to nothing: "
        "pandas was not preloaded"
    )


def test_donors_that_donate_nothing_are_on_every_page() -> None:
    bad = donor(drifted(), *others(3))
    kernels = replace(count(others(3)), donors=(bad,))
    taken = replace(status(taken=sample(kernels=kernels)), donor_restarts=2)
    assert node_json(taken)["donors"] == {
        "alike": 0, "drifted": 1, "stock": 0, "alone": 0, "restarts": 2,
    }  # fmt: skip
    assert "1 of 1 donors hold other pages" in section(ALL_ON, kernels)
    assert donor_trouble(replace(kernels, donors=())) is None
    said = workload_lines(workloads_json(taken))
    assert "donor 12 holds other pages than the kernels of course:1: its memory" in said
    assert "Run the donors with the students' image" in said


def advised(advice: DonorAdvice, at: float, *students: tuple[Owner, Table]) -> bool:
    found = replace(count(students), donors=(donor(drifted(5), *students),))
    return advice.look(found, at)


def test_donors_start_anew_once_for_each_thing_that_most_became() -> None:
    advice, now = DonorAdvice(), 1000.0
    one, two = others(2), others(2, aligned(versions={"pandas": "3"}))
    assert not advised(advice, now, *one)
    assert advised(advice, now + SETTLE_SECONDS, *one)
    for later in range(5):
        assert not advised(advice, now + 2 * PAUSE_SECONDS + later * SETTLE_SECONDS, *one)
    now += 4 * PAUSE_SECONDS
    assert not advised(advice, now, *two)
    assert advised(advice, now + SETTLE_SECONDS, *two)
    three = others(2, aligned(versions={"pandas": "4"}))
    now += SETTLE_SECONDS
    assert not advised(advice, now, *three)
    assert not advised(advice, now + PAUSE_SECONDS - 1, *three), "students could keep them starting"
    assert advised(advice, now + PAUSE_SECONDS, *three)
    assert not advised(advice, now + AGAIN_SECONDS, *one)
    assert advised(advice, now + AGAIN_SECONDS + SETTLE_SECONDS, *one)
    assert advice.number == 4


def test_one_student_or_a_moment_starts_no_donor_anew() -> None:
    advice = DonorAdvice()
    for second in range(0, 1000, 20):
        assert not advised(advice, float(second), *others(1))
    here = others(2), others(2, aligned(versions={"pandas": "3"}))
    for second in range(1000, 2000, 20):
        assert not advised(advice, float(second), *here[second // 20 % 2])
    assert not advice.look(None, 9000.0)
    assert advice.number == 0
