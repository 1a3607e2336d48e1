"""One file per course: what is read, what is refused, what a hub makes of it."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from deploy.hub.samepage_courses import KEYS, Course, CourseFileError, parse, read, visible
from tests.unit.deploy import z2jh

DOCS = z2jh.ROOT / "docs/operators/courses.md"


def course(**more: Any) -> Course:
    return parse("stats", {"title": "Statistics"} | more)


def test_what_is_not_said_is_absent() -> None:
    one = course()
    assert one == Course(id="stats", title="Statistics")
    assert one.environment == {}
    assert one.memory_limit is None


def test_the_course_gets_its_id_and_title_from_the_file() -> None:
    one = course(course={"url": "https://git.example.org/s.git", "branch": "main"})
    assert json.loads(one.environment["SAMEPAGE_COURSES_YAML"]) == {
        "version": 1,
        "courses": [
            {
                "id": "stats",
                "title": "Statistics",
                "url": "https://git.example.org/s.git",
                "branch": "main",
            }
        ],
    }


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "no mapping"),
        ({}, "has no title"),
        ({"title": ""}, "title must be a text"),
        ({"title": "x", "imag": "y"}, "unknown key 'imag'; there are title, "),
        ({"title": "x", "image": "a b"}, "image must be the name"),
        ({"title": "x", "course": "https://git.example.org/x"}, "course must be a course"),
        ({"title": "x", "courses": [{"url": "https://x"}]}, "each with id and url"),
        ({"title": "x", "preload": "numpy pandas"}, "preload must be a list"),
        ({"title": "x", "memory": {"limit": "2 GB"}}, "such as {guarantee: 384M"),
        ({"title": "x", "memory": {"limits": "2G"}}, "memory must be"),
        ({"title": "x", "cpu": {"limit": True}}, "cpu must be"),
        ({"title": "x", "gpu": {"count": 0}}, "gpu must be"),
        ({"title": "x", "gpu": {"want": "all"}}, "gpu must be"),
        ({"title": "x", "gpu": {"memory": "lots"}}, "gpu must be"),
        ({"title": "x", "groups": "a"}, "groups must be a list"),
        ({"title": "x", "environment": {"A": 1}}, "environment must be names and texts"),
        (
            {"title": "x", "course": {"url": "u"}, "courses": [{"id": "a", "url": "u"}]},
            "course or courses, not both",
        ),
    ],
)
def test_mistakes_are_named(content: Any, said: str) -> None:
    with pytest.raises(CourseFileError, match=r"stats\.yaml") as found:
        parse("stats", content)
    assert said in str(found.value)


def test_a_name_that_is_no_id_is_refused() -> None:
    with pytest.raises(CourseFileError, match="small letters"):
        parse("Stats_1", {"title": "x"})


def test_a_bad_file_leaves_the_others(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.yaml").write_text("title: A\n")
    (tmp_path / "b.yaml").write_text("title: [\n")
    (tmp_path / "c.yml").write_text("titel: C\n")
    (tmp_path / "d.yaml").write_bytes(b"title: \xff\n")
    (tmp_path / "e.yaml").write_text("title: E\ndescription: 2026-02-30\n")
    (tmp_path / "f.yaml").write_text("title: F\ncourse: {url: x, 2026-02-03: y}\n")
    with caplog.at_level(logging.ERROR):
        assert [one.id for one in read(tmp_path)] == ["a"]
    assert all(name in caplog.text for name in ("b.yaml", "c.yml", "d.yaml", "e.yaml", "f.yaml"))


def test_no_folder_is_no_course(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == ()


def test_groups_see_their_courses() -> None:
    everybody, own = course(), course(groups=["a", "b"])
    assert visible((everybody, own), []) == (everybody,)
    assert visible((everybody, own), ["b"]) == (everybody, own)


def test_the_page_names_every_key() -> None:
    page = DOCS.read_text(encoding="utf-8")
    assert all(f"`{key}`" in page for key in KEYS)


def write(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.yaml").write_text(text)


def hub(folder: Path) -> Any:
    return z2jh.spawner(z2jh.configured(z2jh.load(z2jh.FOLDER / "values.yaml"), folder))


def start(spawner: Any, profile: str | None) -> None:
    spawner.user_options = {} if profile is None else {"profile": profile}
    asyncio.run(spawner.load_user_options())


def test_nothing_of_the_last_course_stays(tmp_path: Path) -> None:
    write(tmp_path, "cpu", "title: CPU")
    write(
        tmp_path,
        "gpu",
        "title: GPU\nimage: r.example.org/cuda:1\ngpu: {memory: 6Gi}\nnodes: {pool: gpu}\n"
        "memory: {limit: 8G}\nenvironment: {HF_HOME: /srv/models}",
    )
    spawner = hub(tmp_path)
    start(spawner, "cpu")
    plain = {
        name: getattr(spawner, name)
        for name in ("image", "mem_limit", "tolerations", "node_selector")
    }
    start(spawner, "gpu")
    assert spawner.extra_resource_limits == {"nvidia.com/gpu": "1"}
    assert spawner.extra_resource_guarantees == {"nvidia.com/gpu": "1"}
    assert spawner.extra_annotations == {"samepage/gpu-memory-bytes": str(6 * 2**30)}
    assert spawner.node_selector == {"pool": "gpu"}
    assert spawner.image == "r.example.org/cuda:1"
    assert spawner.mem_limit == 8 * 2**30
    assert spawner.environment["HF_HOME"] == "/srv/models"
    # The device plugin says which; not we.
    assert "NVIDIA_VISIBLE_DEVICES" not in spawner.environment
    assert [each["key"] for each in spawner.tolerations][-1] == "nvidia.com/gpu"
    start(spawner, "cpu")
    assert spawner.extra_resource_limits == {}
    assert spawner.extra_resource_guarantees == {}
    assert spawner.extra_annotations == {}
    assert "HF_HOME" not in spawner.environment
    # Images made for GPUs would see them all.
    assert spawner.environment["NVIDIA_VISIBLE_DEVICES"] == "void"
    assert {name: getattr(spawner, name) for name in plain} == plain


def test_a_new_file_is_offered_without_a_restart(tmp_path: Path) -> None:
    write(tmp_path, "one", "title: One")
    spawner = hub(tmp_path)
    start(spawner, "one")
    write(tmp_path, "two", "title: Two")
    start(spawner, "two")
    (tmp_path / "two.yaml").unlink()
    with pytest.raises(ValueError, match="two"):
        start(spawner, "two")


def test_without_courses_a_server_starts_as_configured(tmp_path: Path) -> None:
    spawner = hub(tmp_path)
    start(spawner, None)
    assert spawner.mem_limit == 2 * 2**30


def test_a_course_of_another_group_cannot_be_started(tmp_path: Path) -> None:
    write(tmp_path, "open", "title: Open")
    write(tmp_path, "closed", "title: Closed\ngroups: [few]")
    with pytest.raises(ValueError, match="closed"):
        start(hub(tmp_path), "closed")


def test_braces_and_quotes_reach_the_server(tmp_path: Path) -> None:
    text = 'title: "A {username} \\"B\\" Ü"\ncourse: {url: "https://git.example.org/{x}.git"}'
    write(tmp_path, "odd", text)
    spawner = hub(tmp_path)
    start(spawner, "odd")
    env = {**spawner.get_env()}
    (one,) = json.loads(env["SAMEPAGE_COURSES_YAML"])["courses"]
    assert one["url"] == "https://git.example.org/{x}.git"
    assert one["title"] == 'A {username} "B" Ü'
