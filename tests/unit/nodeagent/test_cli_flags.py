"""Flags of samepage-agent are what they are called, not what they begin with."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from nodeagent import cli

Found = tuple[str, argparse.ArgumentParser]


def parsers(parser: argparse.ArgumentParser, words: str = "") -> Iterator[Found]:
    """Every command with its parser, and the commands in commands."""
    yield words, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield from parsers(inner, f"{words} {name}".strip())


def test_no_command_takes_a_flag_by_its_beginning() -> None:
    found = dict(parsers(cli._parser()))
    assert {"", "run", "donors", "gpu top", "gpu extender"} <= set(found)
    assert [words for words, parser in found.items() if parser.allow_abbrev] == []


@pytest.mark.parametrize("line", ["run --cpu-b 0.2", "status --qui", "gpu top --onc"])
def test_half_a_flag_is_a_mistake(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli._parser().parse_args(line.split())
    assert left.value.code == 2
    assert "unrecognized arguments: --" in capsys.readouterr().err
