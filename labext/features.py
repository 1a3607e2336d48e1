"""What of Samepage works on this server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Name = Literal["courses", "applications", "kernels", "node"]
State = Literal["ok", "failed", "off"]
ORDER: tuple[Name, ...] = ("courses", "applications", "kernels", "node")


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One feature and a sentence on its state, for the status page."""

    name: Name
    state: State
    message: str


class Features:
    """The last known state of each feature; what nobody reported on is left out."""

    def __init__(self) -> None:
        self._known: dict[Name, Feature] = {}

    def report(self, name: Name, state: State, message: str) -> None:
        """Replace what is known of `name`."""
        self._known[name] = Feature(name=name, state=state, message=message)

    def listed(self) -> list[Feature]:
        """In the order in which people see them."""
        return [self._known[name] for name in ORDER if name in self._known]
