"""The table in which a Jupyter server tells about its kernels, read without trust. Pure.

Whoever runs code as the student can write anything there. So sizes are bounded, texts are cleaned,
and what is wrong in one place makes the whole table void: it can only misreport its own student.
"""

import json
import string
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, Literal, get_args

State = Literal["aligned", "off", "refused", "unsuited"]

FORMAT = 1
MOST_BYTES = 512 * 1024
MOST_KERNELS = 32
_MOST_TEXT = 200
_MOST_ITEMS = 400
_MOST_PAGES = 1024
_WORD_LENGTHS = range(32, 129)
_DIGITS = frozenset(string.hexdigits)


@dataclass(frozen=True, kw_only=True)
class Mark:
    """The fingerprint of an aligned kernel, taken when its preload was over; hashes of 4 bytes."""

    python: str
    modules: tuple[str, ...]
    environment: Mapping[str, str]
    """Variable to hash of its value."""
    folders: Mapping[str, str]
    """Folder on sys.path to hash of its listing."""
    layout: str
    pages: tuple[str, ...] | None
    """A sample of its pages in the order of addresses; None: it could not read them."""
    prefix: str = ""
    """sys.prefix; "": a server that does not tell it yet."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Of the packages of its modules, as far as they are known."""

    @property
    def tag(self) -> str:
        """Such as cpython-311, without the hash of the build."""
        return self.python.partition(" ")[0]


@dataclass(frozen=True, kw_only=True)
class KernelNote:
    """One kernel. `reason`: why it is not aligned; `id`: as its server calls it, None: not told."""

    state: State
    reason: str | None
    dropped: tuple[str, ...]
    """Modules that could not be preloaded."""
    mark: Mark | None
    id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Table:
    """Of one server. `image`: as its hub calls it; None: not told. `asker`: hash of the word with
    which it asks about its own kernels; None: it does not ask."""

    image: str | None
    kernels: tuple[KernelNote, ...]
    asker: str | None = None


def asker_of(word: str) -> str | None:
    """Hash of an asker's word; None: not one, which is 32 to 128 hexadecimal digits."""
    if len(word) not in _WORD_LENGTHS or not _DIGITS.issuperset(word):
        return None
    return blake2b(word.encode(), digest_size=16).hexdigest()


def parse(content: bytes) -> Table:
    """ValueError: not a table of this format, or too large."""
    if len(content) > MOST_BYTES:
        raise ValueError(f"larger than {MOST_BYTES} bytes")
    try:
        found = json.loads(content)
    except RecursionError as err:
        raise ValueError("nested too deeply") from err
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError("not a table of this format")
    kernels = _list(found.get("kernels"), MOST_KERNELS)
    image, word = found.get("image"), found.get("ask")
    return Table(
        image=None if image is None else _text(image),
        kernels=tuple(_kernel(each) for each in kernels),
        asker=None if word is None else asker_of(_text(word)),
    )


def _kernel(fields: Any) -> KernelNote:
    if not isinstance(fields, dict) or fields.get("state") not in get_args(State):
        raise ValueError("not a kernel")
    reason, mark = fields.get("reason"), fields.get("fingerprint")
    if fields["state"] == "aligned" and mark is None:
        raise ValueError("an aligned kernel without a fingerprint")
    return KernelNote(
        state=fields["state"],
        reason=None if reason is None else _text(reason),
        dropped=_texts(fields.get("dropped"), _MOST_ITEMS),
        mark=None if mark is None else _mark(mark),
        id=None if fields.get("id") is None else _text(fields["id"]),
    )


def _mark(fields: Any) -> Mark:
    if not isinstance(fields, dict):
        raise ValueError("not a fingerprint")
    pages = fields.get("pages")
    return Mark(
        python=_text(fields.get("python")),
        modules=_texts(fields.get("modules"), _MOST_ITEMS),
        environment=_pairs(fields.get("environment")),
        folders=_pairs(fields.get("folders")),
        layout=_text(fields.get("layout")),
        pages=None if pages is None else _texts(pages, _MOST_PAGES),
        prefix=_text(fields.get("prefix", "")),
        versions=_pairs(fields.get("versions", {})),
    )


def _list(value: Any, most: int) -> list[Any]:
    if not isinstance(value, list) or len(value) > most:
        raise ValueError("not a list, or too long")
    return value


def _text(value: Any) -> str:
    """One line of printable characters: it may end up in a log and on a page."""
    if not isinstance(value, str):
        raise ValueError("not a text")
    clean = "".join(char if char.isprintable() else "?" for char in value[:_MOST_TEXT])
    return clean if len(value) <= _MOST_TEXT else f"{clean}..."


def _texts(value: Any, most: int) -> tuple[str, ...]:
    return tuple(_text(each) for each in _list(value, most))


def _pairs(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or len(value) > _MOST_ITEMS:
        raise ValueError("not an object, or too large")
    return {_text(name): "" if each is None else _text(each) for name, each in value.items()}
