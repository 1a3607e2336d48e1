"""A benchmark's page: printed, and written to docs/benchmarks with its picture."""

import datetime
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

DOCS = Path(__file__).resolve().parents[1] / "docs" / "benchmarks"


@dataclass(frozen=True, kw_only=True)
class Table:
    """`rows` of cells below `columns`."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """A Markdown table with its title as a heading."""
        lines = [_row(self.columns), _row(["---"] * len(self.columns)), *map(_row, self.rows)]
        return f"## {self.title}\n\n" + "\n".join(lines) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


@dataclass(kw_only=True)
class Page:
    """What one run found. `name` is the module's; `picture` a file beside the page."""

    name: str
    title: str
    method: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    picture: str | None = None

    def markdown(self, *, command: str, machine: str, when: datetime.datetime) -> str:
        """The whole page. Pure."""
        parts = [f"# {self.title}\n", self.method.strip() + "\n"]
        parts += [table.markdown() for table in self.tables]
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes) + "\n")
        if self.picture is not None:
            parts.append(f"![{self.title}]({self.picture})\n")
        made = f"{when:%Y-%m-%d %H:%M} UTC"
        parts.append(f"Made {made} with `{command}` on {machine}.\n")
        return "\n".join(parts)

    def publish(self, folder: Path = DOCS) -> Path:
        """Print it and write `<name>.md`; the file's path."""
        text = self.markdown(
            command=this_command(self.name),
            machine=machine(),
            when=datetime.datetime.now(datetime.UTC),
        )
        sys.stdout.write(text)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{self.name}.md"
        file.write_text(text)
        return file


def this_command(name: str) -> str:
    """How to make the page again, without folders of this machine."""
    arguments = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    return " ".join(["python", "-m", f"benchmarks.{name}", *arguments])


def machine() -> str:
    """Processor, memory, system and load, in one line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    gib = psutil.virtual_memory().total / 2**30
    load = os.getloadavg()[2]
    return (
        f"{os.cpu_count()} cores ({model}), {gib:.0f} GiB, Linux {platform.release()}, "
        f"Python {platform.python_version()}; load average of the last 15 minutes {load:.1f}"
    )
