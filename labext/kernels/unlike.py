"""What running kernels do not have in common: ``python -m labext.kernels.unlike PID PID ...``.

Compares the content of every private page of the first process with all pages of the others,
wherever they lie, as page merging would. For operators and developers: it needs no KSM, but the
right to read the processes (their user's own, or root's), and hashes all of their memory.
"""

import contextlib
import sys
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

_PAGE = 4096
_ENTRY = 8
_PRESENT, _OF_FILE = 1 << 63, 1 << 61
_UNREADABLE = frozenset({"[vvar]", "[vvar_vclock]", "[vdso]", "[vsyscall]"})


@dataclass(frozen=True, kw_only=True)
class Unlike:
    """Bytes of one process: private memory in RAM, and what of it no other one has.

    `places`: the latter by mapping ("[heap]", a library's name, "anonymous").
    """

    private: int
    unlike: int
    places: dict[str, int]


def compare(pids: Sequence[int], proc: Path = Path("/proc")) -> Unlike:
    """The first process against the others. Errors: OSError."""
    others = {content for pid in pids[1:] for _, content in private_pages(proc / str(pid))}
    others.add(_hash(bytes(_PAGE)))
    places: Counter[str] = Counter()
    private = 0
    for place, content in private_pages(proc / str(pids[0])):
        private += _PAGE
        if content not in others:
            places[place] += _PAGE
    return Unlike(private=private, unlike=places.total(), places=dict(places.most_common()))


def private_pages(process: Path) -> Iterator[tuple[str, bytes]]:
    """Mapping and hash of each private page that is in RAM. Errors: OSError."""
    rows = (process / "maps").read_text(encoding="utf-8", errors="replace").splitlines()
    with (process / "pagemap").open("rb") as pagemap, (process / "mem").open("rb", 0) as memory:
        for row in rows:
            addresses, rights, *rest = row.split(maxsplit=5)
            name = rest[3] if len(rest) > 3 else "anonymous"
            if "r" not in rights or name in _UNREADABLE:
                continue
            start, end = (int(address, 16) for address in addresses.split("-"))
            pagemap.seek(start // _PAGE * _ENTRY)
            entries = array("Q", pagemap.read((end - start) // _PAGE * _ENTRY))
            for number, entry in enumerate(entries):
                if entry & _PRESENT and not entry & _OF_FILE:
                    # A mapping may be gone by now.
                    with contextlib.suppress(OSError):
                        memory.seek(start + number * _PAGE)
                        yield name.rpartition("/")[2], _hash(memory.read(_PAGE))


def _hash(content: bytes) -> bytes:
    return blake2b(content, digest_size=16).digest()


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the sums, and the mappings with the most."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if len(words) < 2 or not all(word.isdecimal() for word in words):
        print("usage: python -m labext.kernels.unlike PID PID [PID ...]", file=sys.stderr)
        return 2
    try:
        found = compare([int(word) for word in words])
    except OSError as err:
        print(
            f"The processes cannot be read: {err}. Ask as their user or as root.", file=sys.stderr
        )
        return 2
    print(
        f"{found.unlike / 1e6:.1f} of {found.private / 1e6:.1f} MB of process {words[0]} are unlike"
    )
    for place, size in list(found.places.items())[:12]:
        # A file's name is its owner's words, and may hold a terminal's commands.
        shown = "".join(char if char.isprintable() else "?" for char in place)
        print(f"  {size / 1e6:8.2f} MB {shown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
