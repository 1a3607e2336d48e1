"""YAML (and so JSON) as data, with the place of everything in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from labext.courses.manifest.problems import KeyPath, Problem, ProblemError

# A few aliases of aliases would otherwise stand for more than any memory holds.
_MOST_NODES = 50_000
_Mark = tuple[int, int]


class _Loader(yaml.SafeLoader):
    """Leaves dates as they are written: their time zone is looked at later."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as in the class it replaces
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True, kw_only=True)
class Document:
    """data: mappings, lists and scalars. keys, values: line and column, from 1, by path."""

    data: Any
    keys: dict[KeyPath, _Mark]
    values: dict[KeyPath, _Mark]

    def problem(self, text: str, path: KeyPath, *, at_key: bool = False) -> Problem:
        """A problem with its place, or that of the nearest thing around it."""
        if at_key and path in self.keys:
            line, column = self.keys[path]
            return Problem(text=text, line=line, column=column)
        while path not in self.values:
            path = path[:-1]
        line, column = self.values[path]
        return Problem(text=text, line=line, column=column)


def parse(content: bytes) -> Document:
    """The document. Errors: ProblemError. Pure."""
    try:
        loader = _Loader(content)
        try:
            tree = loader.get_single_node()
            if tree is None:
                raise ProblemError(Problem(text="it is empty"))
            walk = _Walk()
            walk.node(tree, ())
            data = loader.construct_document(tree)
            return Document(data=data, keys=walk.keys, values=walk.values)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        text = f"this is not valid YAML: {err.problem or err.context}"
        if mark is None:
            raise ProblemError(Problem(text=text)) from err
        raise ProblemError(Problem(text=text, line=mark.line + 1, column=mark.column + 1)) from err
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        first = (str(err).splitlines() or ["it is nested too deeply"])[0]
        raise ProblemError(Problem(text=f"this is not valid YAML: {first}")) from err


class _Walk:
    def __init__(self) -> None:
        self.keys: dict[KeyPath, _Mark] = {}
        self.values: dict[KeyPath, _Mark] = {}
        self._count = 0

    def node(self, node: yaml.Node, path: KeyPath) -> None:
        self._count += 1
        if self._count > _MOST_NODES:
            raise ProblemError(Problem(text="it has too many entries"))
        self.values[path] = _mark(node)
        if isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                name = str(key.value) if isinstance(key, yaml.ScalarNode) else "?"
                if isinstance(key, yaml.ScalarNode) and name in seen:
                    line, column = _mark(key)
                    text = f"the key {name!r} is given twice"
                    raise ProblemError(Problem(text=text, line=line, column=column))
                seen.add(name)
                self.keys[(*path, name)] = _mark(key)
                self.node(value, (*path, name))
        elif isinstance(node, yaml.SequenceNode):
            for number, item in enumerate(node.value):
                self.node(item, (*path, number))


def _mark(node: yaml.Node) -> _Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1
