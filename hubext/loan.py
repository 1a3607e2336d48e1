"""Changes to a spawner's settings that the next start takes back.

A hub may use the same spawner object for many starts; a GPU of the last one must not stay in it.
"""

from typing import Any
from weakref import WeakKeyDictionary

_before: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def take_back(spawner: Any) -> None:
    """Undo what `lend` did to it."""
    for name, value in _before.pop(spawner, {}).items():
        setattr(spawner, name, value)


def lend(spawner: Any, name: str, value: Any) -> None:
    """Set a trait until `take_back`."""
    _before.setdefault(spawner, {}).setdefault(name, getattr(spawner, name))
    setattr(spawner, name, value)
