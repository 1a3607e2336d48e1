"""The course manifest: what is accepted, and where an error is said to be."""

from __future__ import annotations

from pathlib import Path

import pytest

from labext.courses.manifest import ManifestError, Source, load, read, single


def courses(*lines: str) -> bytes:
    return "\n".join(["version: 1", "courses:", *lines, ""]).encode()


def test_all_keys_and_their_defaults() -> None:
    full, short = read(
        courses(
            "- id: phys119",
            "  url: https://git.example/phys/119.git",
            "  branch: main",
            "  target: courses/./phys//119/",
            "  title: Physics 119",
            "  depth: 0",
            "- id: stats",
            "  url: git@git.example:group/stats.git",
        ),
        "m.yml",
    )
    assert (full.branch, full.target, full.title, full.depth) == (
        "main",
        "courses/phys/119",
        "Physics 119",
        0,
    )
    assert (short.branch, short.target, short.title, short.depth) == (None, "stats", "stats", 1)


def test_no_courses_is_a_valid_manifest() -> None:
    assert read(b"version: 1\ncourses: []\n", "m.yml") == ()


@pytest.mark.parametrize(
    ("content", "place", "words"),
    [
        pytest.param(b"", "m.yml:", "empty", id="empty"),
        pytest.param(b"version: 1\ncourses: [\n", "m.yml:3:", "not valid YAML", id="syntax"),
        pytest.param(b"\x00\xff", "m.yml:", "not valid YAML", id="binary"),
        pytest.param(b"- 1\n", "m.yml:1:", "the manifest must be a mapping", id="list"),
        pytest.param(b"version: 1\n", "m.yml:1:", "lacks 'courses'", id="no courses"),
        pytest.param(b"courses: []\nversion: 2\n", "m.yml:2:", "version must be 1", id="version"),
        pytest.param(courses("- id: a"), "m.yml:3:", "courses[0] lacks 'url'", id="no url"),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  brnach: main"),
            "m.yml:5:",
            "unknown key 'brnach'",
            id="misspelt key",
        ),
        pytest.param(
            courses("- id: 119", "  url: https://x/y"),
            "m.yml:3:",
            "courses[0].id must be a text (put it in quotes)",
            id="number as id",
        ),
        pytest.param(
            courses("- id: a/b", "  url: https://x/y"), "m.yml:3:", "letters", id="slash in id"
        ),
        pytest.param(
            courses("- id: a", "  id: b", "  url: https://x/y"), "m.yml:4:", "twice", id="key twice"
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "- id: a", "  url: https://x/z"),
            "m.yml:5:",
            "the id 'a' is used twice",
            id="id twice",
        ),
        pytest.param(
            courses(
                "- {id: a, url: 'https://x/y', target: t}",
                "- id: b",
                "  url: https://x/z",
                "  target: t/sub",
            ),
            "m.yml:6:",
            "share the folder",
            id="folder in folder",
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  target: ../out"),
            "m.yml:5:",
            "must not contain '..'",
            id="dot-dot",
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  target: /etc"),
            "m.yml:5:",
            "must be relative",
            id="absolute",
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  target: ."),
            "m.yml:5:",
            "below the server's root",
            id="root itself",
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  target: a/.git/hooks"),
            "m.yml:5:",
            ".git folder",
            id="into .git",
        ),
        pytest.param(
            courses("- id: a", "  url: 'ext::sh -c id'"), "m.yml:4:", "spaces", id="ext::"
        ),
        pytest.param(
            courses("- id: a", "  url: 'ext::sh'"), "m.yml:4:", "only https", id="ext:: alone"
        ),
        pytest.param(
            courses("- id: a", "  url: --upload-pack=x"), "m.yml:4:", "starts with '-'", id="option"
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  branch: --force"),
            "m.yml:5:",
            "branch name",
            id="option as branch",
        ),
        pytest.param(
            courses("- id: a", "  url: https://x/y", "  depth: -1"),
            "m.yml:5:",
            "at least 0",
            id="depth",
        ),
    ],
)
def test_errors_name_the_line(content: bytes, place: str, words: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read(content, "m.yml")
    assert caught.value.message.startswith(place)
    assert words in caught.value.message
    assert caught.value.fix


def test_an_error_does_not_show_the_token() -> None:
    with pytest.raises(ManifestError) as caught:
        read(courses("- id: a", "  url: https://u:sesame-42@/y"), "m.yml")
    assert "sesame" not in caught.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"Cannot read .*nope\.yml: No such file"):
        load(tmp_path / "nope.yml")


def test_a_course_without_a_manifest() -> None:
    spec = single("https://git.example/g/stats-101.git", "", "")
    assert (spec.id, spec.target, spec.title, spec.branch) == (
        "course",
        "stats-101",
        "stats-101",
        None,
    )


def test_errors_without_a_manifest_name_the_variable() -> None:
    with pytest.raises(ManifestError, match=r"^SAMEPAGE_COURSE_TARGET: .*'\.\.'"):
        single("https://git.example/x", "", "../x")
    with pytest.raises(ManifestError, match=r"^SAMEPAGE_COURSE_BRANCH: write a branch name"):
        single("https://git.example/x", "-x", "")


def test_nothing_set_up_is_not_an_error() -> None:
    assert Source(manifest="").read() is None
