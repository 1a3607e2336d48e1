"""Imported modules put aside until somebody imports them, so that they appear as without us.

A preloaded module leaves `sys.modules` and comes back, with what it imported itself, at the first
`import`: instantly, with its warning filters and the environment variables it sets. What the
student's own path would find in its place wins, as ever.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class SideEffects:
    """What importing one module changed outside of it."""

    def __init__(self, filters: list[Any], environment: dict[str, str]) -> None:
        self.filters = filters
        self.environment = environment

    def apply(self) -> None:
        """Change it again, now that the student imports the module."""
        known = warnings.filters
        for entry in reversed([entry for entry in self.filters if entry not in known]):
            known.insert(0, entry)  # type: ignore[attr-defined]  # a list, typed as a sequence
        if self.filters and hasattr(warnings, "_filters_mutated"):
            warnings._filters_mutated()
        for name, value in self.environment.items():
            os.environ.setdefault(name, value)


class Shelf(MetaPathFinder):
    """The modules put aside, and the finder that gives them back.

    `edges`: what each module imported. `effects` and `repairs` belong to modules by name; a repair
    is called once, right after its module came back.
    """

    def __init__(self) -> None:
        self._modules: dict[str, ModuleType] = {}
        self._edges: dict[str, tuple[str, ...]] = {}
        self.effects: dict[str, SideEffects] = {}
        self.repairs: dict[str, Callable[[], None]] = {}
        self.returned: list[str] = []
        #: Environment variables set by the kernel's own modules, which are not on the shelf.
        self.variables: dict[str, str] = {}
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._modules)

    @property
    def modules(self) -> dict[str, ModuleType]:
        """What lies there, by name."""
        return self._modules

    def tops(self) -> set[str]:
        """Names of the packages on the shelf."""
        return {name.partition(".")[0] for name in self._modules}

    def put(self, names: Iterable[str], edges: dict[str, list[str]]) -> None:
        """Take these modules out of `sys.modules`."""
        for name in names:
            module = sys.modules.get(name)
            # A module that put something else in its place, or has no spec, stays where it is.
            if isinstance(module, ModuleType) and isinstance(module.__spec__, ModuleSpec):
                self._modules[name] = module
        for name in self._modules:
            sys.modules.pop(name, None)
            wanted = [other for other in edges.get(name, ()) if other in self._modules]
            parent = name.rpartition(".")[0]
            if parent in self._modules:
                wanted.append(parent)
            self._edges[name] = tuple(dict.fromkeys(wanted))

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The shelved module, unless the student's path has another one of that name."""
        module = self._modules.get(fullname)
        if module is None or module.__spec__ is None:
            return None
        real = module.__spec__
        if path is None and real.has_location and _elsewhere(fullname, real):
            self.drop(fullname)
            return None
        spec = ModuleSpec(fullname, _Return(self, fullname, real), origin=real.origin)
        spec.submodule_search_locations = real.submodule_search_locations
        spec.has_location = real.has_location
        spec.cached = real.cached
        return spec

    def drop(self, top: str) -> None:
        """Forget a package: it will be imported from elsewhere.

        What was built on it stays, with the package it was built on.
        """
        with self._lock:
            for name in [name for name in self._modules if name.partition(".")[0] == top]:
                del self._modules[name]

    def give_back(self, name: str) -> tuple[ModuleType | None, list[str]]:
        """Put a module and what it imported into `sys.modules`; their names, itself last."""
        with self._lock:
            back: list[str] = []
            seen = {name}
            waiting = [name]
            while waiting:
                current = waiting.pop()
                if current not in self._modules:
                    continue
                back.append(current)
                for other in self._edges.get(current, ()):
                    if other not in seen:
                        seen.add(other)
                        waiting.append(other)
            module = self._modules.get(name)
            for other in back:
                held = self._modules.pop(other)
                sys.modules.setdefault(other, held)
            self.returned += back
            return module, back

    def finish(self, names: Iterable[str]) -> None:
        """What importing these modules does outside of them."""
        for name in names:
            effect = self.effects.pop(name, None)
            if effect is not None:
                effect.apply()
        for name in names:
            repair = self.repairs.pop(name, None)
            if repair is not None:
                repair()


class _Return(Loader):
    """Loads a module by taking it from the shelf; otherwise its own loader."""

    def __init__(self, shelf: Shelf, name: str, real: ModuleSpec) -> None:
        self._shelf = shelf
        self._name = name
        self._real = real
        self._back: list[str] = []

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module, self._back = self._shelf.give_back(self._name)
        # Somebody else was faster: theirs is in sys.modules.
        return module if module is not None else sys.modules.get(self._name)

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._real
        module.__loader__ = self._real.loader
        self._shelf.finish(self._back)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real.loader, name)


def _elsewhere(name: str, real: ModuleSpec) -> bool:
    found = PathFinder.find_spec(name)
    return found is not None and found.origin != real.origin
