"""Changes to a spawner's settings that the next start takes back.

A hub may use the same spawner object for many starts; a GPU of the last one must not stay in it.
"""

from typing import Any
from weakref import WeakKeyDictionary

#: Trait -> (before the loan, as lent).
_lent: WeakKeyDictionary[Any, dict[str, tuple[Any, Any]]] = WeakKeyDictionary()


def take_back(spawner: Any) -> None:
    """Undo what `lend` did to it. A trait that somebody has set since, to begin this start with,
    is theirs and stays."""
    for name, (before, lent) in _lent.pop(spawner, {}).items():
        if getattr(spawner, name) is lent:
            setattr(spawner, name, before)


def lend(spawner: Any, name: str, value: Any) -> None:
    """Set a trait until `take_back`."""
    loans = _lent.setdefault(spawner, {})
    before = getattr(spawner, name)
    if name in loans and before is loans[name][1]:
        before = loans[name][0]
    setattr(spawner, name, value)
    # As the trait holds it, which may be another object than was given.
    loans[name] = before, getattr(spawner, name)
