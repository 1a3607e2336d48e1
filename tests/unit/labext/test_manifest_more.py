"""The course manifest: what it may hold beyond addresses, and all that can be wrong with it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from labext.courses.manifest import ManifestError, preload_modules, read
from labext.courses.manifest.schema import SCHEMA, published
from labext.courses.roster import wait_for
from labext.courses.rules import Auth, ReadOnly, Rules, Window

DOCS = Path(__file__).parents[3] / "docs" / "courses"


def manifest(*lines: str, top: str = "") -> bytes:
    head = ["version: 1", *([top] if top else []), "courses:"]
    body = ["- id: c", "  url: https://git.example/c.git", *(f"  {line}" for line in lines)]
    return "\n".join([*head, *body, ""]).encode()


def seconds(*moment: int) -> float:
    return datetime(*moment, tzinfo=UTC).timestamp()  # type: ignore[misc, arg-type]  # year, month ...


def test_everything_at_once() -> None:
    (spec,) = read(
        manifest(
            "include: [labs/, ./data//small]",
            "release:",
            "- {path: labs/1, from: 2026-11-23T09:00+01:00, until: 2026-11-30}",
            "readonly: [data/, {path: big, link: /srv/big}]",
            "deleted: keep",
            "submodules: false",
            "lfs: false",
            "pull: {on_start: false, interval: 15m, timeout: 90}",
            "auth: {token_file: /run/secrets/token, username: deploy, hosts: [lfs.example]}",
            "preload: [numpy, matplotlib.pyplot, numpy]",
            "image: registry.example/phys:1",
            "profile: gpu",
            top="timezone: Europe/Berlin",
        ),
        "m.yml",
    )
    assert spec.rules == Rules(
        include=("labs", "data/small"),
        release=(
            Window(path="labs/1", opens=seconds(2026, 11, 23, 8), closes=seconds(2026, 11, 30, 23)),
        ),
        readonly=(ReadOnly(path="data"), ReadOnly(path="big", link="/srv/big")),
        deleted="keep",
        submodules=False,
        lfs=False,
        auth=Auth(token_file="/run/secrets/token", username="deploy", hosts=("lfs.example",)),
    )
    assert (spec.on_start, spec.interval, spec.timeout) == (False, 900.0, 90.0)
    assert (spec.image, spec.profile) == ("registry.example/phys:1", "gpu")
    assert preload_modules([spec, spec]) == ("numpy", "matplotlib.pyplot")


def test_it_survives_the_way_to_the_worker() -> None:
    from dataclasses import asdict

    rules = Rules(
        include=("a",),
        release=(Window(path="b", opens=1.0),),
        readonly=(ReadOnly(path="c", link="/d"),),
        auth=Auth(ssh_key_file="/k", hosts=("x",)),
    )
    assert Rules.from_json(json.loads(json.dumps(asdict(rules)))) == rules


@pytest.mark.parametrize(
    ("lines", "place", "words"),
    [
        (["includes: [a]"], "m.yml:5:3:", "unknown key 'includes' (did you mean 'include'?)"),
        (["xyz: 1"], "m.yml:5:3:", "(known are: id, url, branch"),
        (["include: []"], "m.yml:5:12:", "must not be empty"),
        (["include: ['*.py']"], "m.yml:5:13:", "no patterns"),
        (["include: [../x]"], "m.yml:5:13:", "no '..'"),
        (["include: ['./']"], "m.yml:5:13:", "a folder or file"),
        (["include: labs"], "m.yml:5:12:", "must be a list"),
        (["deleted: kept"], "m.yml:5:12:", "restore or keep (did you mean 'keep'?)"),
        (["release: [{path: a}]"], "m.yml:5:13:", "needs 'from', 'until' or both"),
        (["release: [{path: a, from: 2026-11-23}]"], "m.yml:5:29:", "has no time zone"),
        (["release: [{path: a, from: tomorrow}]"], "m.yml:5:29:", "a date and a time"),
        (["release: [{path: a, from: 2026-02-30T09:00Z}]"], "m.yml:5:29:", "no such date"),
        (
            ["release:", "- {path: a, from: 2026-11-23T09:00Z, until: 2026-11-23T08:00Z}"],
            "m.yml:6:47:",
            "later than 'from'",
        ),
        (["pull: {interval: soon}"], "m.yml:5:20:", "seconds, or a time such as 15m"),
        (["pull: {on_start: 1}"], "m.yml:5:20:", "true or false"),
        (["pull: {timeout: 0}"], "m.yml:5:19:", "at least 1 second"),
        (["preload: ['os; rm']"], "m.yml:5:13:", "name of a Python module"),
        (["readonly: [{path: data}]"], "m.yml:5:14:", "lacks 'link'"),
        (["readonly: [{path: data, link: srv}]"], "m.yml:5:33:", "absolute path"),
        (["auth: {token_file: secret}"], "m.yml:5:22:", "absolute path"),
        (["auth: {token: abc}"], "m.yml:5:10:", "did you mean 'token_file'"),
        (["auth: {ssh_key_file: /k}"], "m.yml:5:24:", "needs an ssh address"),
        (["auth: {username: me}"], "m.yml:5:20:", "needs 'token_file'"),
        (["auth: {token_file: /t, ssh_key_file: /k}"], "m.yml:5:40:", "not both"),
    ],
)
def test_errors_name_line_and_column(lines: list[str], place: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(manifest(*lines), "m.yml")
    assert caught.value.message.startswith(place), caught.value.message
    assert words in caught.value.message


def test_a_token_is_not_sent_in_clear() -> None:
    text = manifest("auth: {token_file: /t}").replace(b"https://", b"http://")
    with pytest.raises(ManifestError, match="not sent over http"):
        read(text, "m.yml")
    text = text.replace(b"http://", b"https://u:p@")
    with pytest.raises(ManifestError, match="holds a password"):
        read(text, "m.yml")


def test_all_errors_are_named() -> None:
    text = manifest("depth: -1", "brnach: x", "title: 1")
    with pytest.raises(ManifestError) as caught:
        read(text, "m.yml")
    assert [line.split(" ")[0] for line in caught.value.problems] == [
        "m.yml:5:10:",
        "m.yml:6:3:",
        "m.yml:7:10:",
    ]
    assert "And 2 more" in caught.value.message


def test_an_unknown_time_zone() -> None:
    with pytest.raises(ManifestError, match=r"m.yml:2:11: the time zone 'Mars/Base'"):
        read(manifest(top="timezone: Mars/Base"), "m.yml")


def test_a_bomb_of_aliases_is_refused() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    for n in range(1, 9):
        lines.append(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]")
    with pytest.raises(ManifestError, match="too many entries"):
        read("\n".join(lines).encode(), "m.yml")
    with pytest.raises(ManifestError):
        read(b"a: &a [*a]", "m.yml")


def test_json_is_yaml_and_anchors_work() -> None:
    text = {"version": 1, "courses": [{"id": "c", "url": "https://git.example/c.git"}]}
    assert read(json.dumps(text).encode(), "m.json")[0].id == "c"
    merged = b"""version: 1
courses:
- &one {id: a, url: 'https://git.example/a.git', target: a, deleted: keep}
- {<<: *one, id: b, target: b}
"""
    assert [(spec.id, spec.rules.deleted) for spec in read(merged, "m.yml")] == [
        ("a", "keep"),
        ("b", "keep"),
    ]


def test_the_published_schema_is_this_one() -> None:
    """`python scripts/course_schema.py` writes it."""
    file = DOCS / "samepage-course.schema.json"
    assert json.loads(file.read_text()) == json.loads(json.dumps(published()))
    assert published()["properties"] == SCHEMA["properties"]


def test_every_key_is_described() -> None:
    def walk(schema: dict[str, object], path: str) -> list[str]:
        found = [] if "description" in schema or not path else [path]
        properties = schema.get("properties")
        assert isinstance(properties, dict)
        for name, inner in properties.items():
            if "properties" in inner:
                found += walk(inner, f"{path}.{name}")
            elif "description" not in inner:
                found.append(f"{path}.{name}")
        return found

    course = SCHEMA["properties"]["courses"]["items"]
    assert walk(SCHEMA, "") == []
    assert walk(course, "") == []


@pytest.mark.parametrize("page", ["../courses.md", "manifest.md"])
def test_the_examples_in_the_docs_are_valid(page: str) -> None:
    blocks = (DOCS / page).read_text().split("```yaml\n")[1:]
    read_some = 0
    for block in blocks:
        text = block.split("```")[0]
        if isinstance(parsed := yaml.safe_load(text), dict) and "version" in parsed:
            read(text.encode(), page)
            read_some += 1
    assert read_some


@pytest.mark.parametrize(
    ("lines", "interval", "expected"),
    [
        ([], 0.0, None),
        ([], 60.0, 60.0),
        (["pull: {interval: 2m}"], 60.0, 120.0),
        (["pull: {interval: 0}"], 60.0, None),
        (["release: [{path: a, from: 1970-01-01T00:01Z}]"], 0.0, 50.0),
        (["release: [{path: a, until: 1970-01-01T00:01Z}]"], 20.0, 20.0),
        (["release: [{path: a, from: 1970-01-01T00:00Z}]"], 0.0, None),
    ],
)
def test_when_the_next_pull_is(lines: list[str], interval: float, expected: float | None) -> None:
    (spec,) = read(manifest(*lines), "m.yml")
    assert wait_for(spec, interval, 5.0, 10.0, lambda low, high: low) == expected
