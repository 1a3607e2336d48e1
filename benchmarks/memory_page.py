"""The page of `memory`, made from its results."""

import datetime
import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

from .memory_results import ChargeResult, ClassResult, PairResult, Results, Stage
from .page import Page, Table
from .spread import spread

TARGET = 0.12
NINETY_SECONDS = 60
IDLE_TARGET = 0.005
SLOWER_TARGET = 0.03

METHOD = """
Every student has a user (uid), home, environment, connection file and process of its own that
starts the kernel; names are 2 to 23 letters long, every second home has seen a session before
(IPython startup file, user site, matplotlibrc, caches). Kernels start {apart:g} s apart. Samepage's
servers prepare a template when they start, so its students come {apart:g} s apart, too, and open
their first notebook {look_around:g} s after they came; other servers do nothing then, and are not
waited for. All import the course's modules; then merging has up to {patience:g} s to come to an
end. Then all run the code of {notebooks} ({stations} stations of
data), two students at a time, and it has that time again (Samepage 65 s more: its kernels give
memory back after a minute of quiet). The order of the ways is drawn. One session before all that
warms the machine, and ksmd forgets each class before the next one comes.

*MB per student* is memory of the machine, counted from the page tables of the kernels (`pagemap`):
every frame once, whoever shares it, whatever KSM says. *With template*: Samepage's servers keep the
process that kernels are forked from; what it has besides is counted too. *Machine* is what
`/proc/meminfo` says that the machine's private and kernel memory grew by, agent, page tables and
KSM's own tables included (the processes that stand for the Jupyter servers are not); others on the
machine count too. *Of the possible*: what was saved (by merging, or by being forked), set against
what would be if every equal page were merged, found by hashing every page at that moment (the code
of `samepage-agent estimate`). *90 % after*: from the last student's last cell until 90 % of that
possible saving was there: the machine's private memory (AnonPages) against what these processes map
of it, twice a second, set by the page tables at the end; `> n`: not when the wait ended. CPU: ksmd,
and the agent or ksmtuned beside it, for the whole class. *At rest*: the same, afterwards. *Others*:
what everything else on the machine used meanwhile, of a core. *Fixed loop*: the same lines of
Python right before; a virtual machine is not equally fast all day, and all seconds go with it. MB
is 10^6 bytes.
"""


def publish(found: Results, docs: Path) -> Path:
    """Write `memory.md` and its pictures; the page's path."""
    docs.mkdir(parents=True, exist_ok=True)
    if found.classes:
        picture(found, docs / "memory.png")
    page = Page(
        name="memory",
        title="What a class of notebooks needs",
        method=METHOD.format(**_settings(found)) if found.classes else "",
        tables=tables(found),
        notes=notes(found),
        picture="memory.png" if found.classes else None,
    )
    made = [each.made for each in found.classes]
    made += [found.pairs.made] if found.pairs is not None else []
    made += [each.made for each in found.charges]
    commands = list(dict.fromkeys(each.command for each in made))
    machines = list(dict.fromkeys(each.machine for each in made))
    text = page.markdown(
        command="`, `".join(commands),
        machine=", ".join(machines),
        when=datetime.datetime.now(datetime.UTC),
    )
    file = docs / "memory.md"
    file.write_text(text)
    print(text)
    return file


def _settings(found: Results) -> dict[str, object]:
    held: dict[str, Any] = {"look_around": 0}
    for each in found.classes:
        held.update(each.settings)
    return {**held, "notebooks": ", ".join(held["notebooks"])}


def tables(found: Results) -> list[Table]:
    """All of the page."""
    made = []
    for count in sorted({each.students for each in found.classes}, key=lambda n: (n != 16, n)):
        rows = [each for each in found.classes if each.students == count]
        made += [memory_table(rows), cost_table(rows)]
    if found.pairs is not None:
        made.append(pair_table(found.pairs))
    if found.charges:
        made.append(charge_table(found.charges))
    return made


def _mega(amount: float) -> str:
    return f"{amount / 1e6:.1f}" if abs(amount) < 100e6 else f"{amount / 1e6:.0f}"


def _ninety(stage: Stage) -> str:
    return f"> {stage.seconds:.0f}" if stage.to_ninety is None else f"{stage.to_ninety:.0f}"


def memory_table(rows: Sequence[ClassResult]) -> Table:
    """MB per student, one row per way."""
    stock = next((each for each in rows if each.letter == "a"), None)
    lines = []
    for each in rows:
        line = [f"({each.letter}) {each.name}"]
        for name in ("imports", "after"):
            stage: Stage = getattr(each, name)
            base = None if stock is None else getattr(stock, name)
            share = "" if base is None else f" ({stage.kernels.frames / base.kernels.frames:.0%})"
            all_of_it = stage.whole.frames / each.students
            line += [
                _mega(stage.kernels.frames / each.students) + share,
                _mega(all_of_it) if stage.whole.frames != stage.kernels.frames else "-",
                _mega(stage.machine / each.students),
                "-" if each.letter == "a" else f"{stage.whole.reached:.0%}",
                "-" if each.letter == "a" else _ninety(stage),
            ]
        lines.append(line)
    return Table(
        title=f"{rows[0].students} students: MB per student (share of (a) in brackets)",
        columns=(
            "way",
            "after imports",
            "with template",
            "machine",
            "of the possible",
            "90 % after, s",
            "after the notebooks",
            "with template",
            "machine",
            "of the possible",
            "90 % after, s",
        ),
        rows=lines,
    )


def cost_table(rows: Sequence[ClassResult]) -> Table:
    """What the ways cost, one row each."""
    lines = []
    for each in rows:
        total = (each.ksmd_cpu or 0) + each.tuner_cpu
        lines.append(
            [
                f"({each.letter}) {each.name}",
                "-" if each.letter == "a" else f"{total:.1f} ({each.tuner_cpu:.1f})",
                "-" if each.idle_share is None else f"{each.idle_share:.2%}",
                f"{statistics.median(each.start_seconds):.2f}",
                f"{statistics.median(each.import_seconds):.2f}",
                f"{statistics.median(each.notebook_seconds):.1f}",
                _how(each),
                f"{each.others_share:.0%}",
                f"{each.made.load:.1f}",
                "-" if each.made.loop is None else f"{each.made.loop:.2f}",
            ]
        )
    return Table(
        title=f"{rows[0].students} students: cost",
        columns=(
            "way",
            "CPU, s (of it not ksmd)",
            "at rest, of a core",
            "kernel start, s (median)",
            "imports, s",
            "notebooks, s",
            "kernels",
            "others",
            "load before",
            "fixed loop, s",
        ),
        rows=lines,
    )


def _how(each: ClassResult) -> str:
    if not each.aligned:
        return "stock"
    return f"{each.aligned} of {each.students} aligned, {each.from_spare} forked from a template"


def ratio_interval(
    stock: Sequence[float], samepage: Sequence[float], seed: int = 1
) -> tuple[float, float, float]:
    """Ratio of the sums, and its 95 % interval by the bootstrap over pairs. Pure."""
    pairs = list(zip(stock, samepage, strict=True))
    draw = random.Random(seed)
    found = []
    for _ in range(4000):
        drawn = [pairs[draw.randrange(len(pairs))] for _ in pairs]
        found.append(sum(two for _, two in drawn) / sum(one for one, _ in drawn))
    found.sort()
    middle = sum(samepage) / sum(stock)
    return middle, found[math.floor(0.025 * len(found))], found[math.floor(0.975 * len(found))]


def pair_table(pairs: PairResult) -> Table:
    """Start, notebooks and garbage of paired kernels."""
    rows = [
        [
            "kernel start, forked, s",
            spread(pairs.start_stock).text(),
            spread(pairs.start_spare).text(),
            "",
        ],
        [
            "kernel start without a template, s",
            spread(pairs.start_stock).text(),
            spread(pairs.start_alone).text(),
            "",
        ],
        [
            "the first imports, s",
            spread(pairs.import_stock).text(),
            spread(pairs.import_samepage).text(),
            "",
        ],
    ]
    for number, (stock, samepage) in enumerate(pairs.rounds, start=1):
        middle, low, high = ratio_interval(stock, samepage)
        rows.append(
            [
                f"all notebooks, {'once' if number == 1 else 'again, after merging'}, s",
                spread(stock).text(),
                spread(samepage).text(),
                f"{middle - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%})",
            ]
        )
    mega = [
        (
            "MB mapped after the notebooks, before and after the kernel tidied itself",
            pairs.rounds and pairs.tidy_before,
            pairs.tidy_after,
        ),
        (
            "MB mapped after a cell that made garbage, the same",
            pairs.garbage_before,
            pairs.garbage_after,
        ),
    ]
    for name, before, after in mega:
        if before and after:
            stock_text = (
                _mega(statistics.median(pairs.garbage_stock))
                if before is pairs.garbage_before
                else "-"
            )
            gain = statistics.median(b - a for b, a in zip(before, after, strict=True))
            rows.append(
                [
                    name,
                    stock_text,
                    f"{_mega(statistics.median(before))}, {_mega(statistics.median(after))}",
                    f"{_mega(-gain)} MB",
                ]
            )
    return Table(
        title=f"{len(pairs.start_stock)} pairs of kernels, one cell at a time (median, quartiles)",
        columns=("", "Linux as it comes", "Samepage", "difference (95 % interval)"),
        rows=rows,
    )


def charge_table(charges: Sequence[ChargeResult]) -> Table:
    """Memory cgroups of students, without donors and with."""
    rows = []
    for each in charges:
        others = [value for n, value in enumerate(each.after_restart) if n != each.restarted]
        rows.append(
            [
                f"{each.donors} donors" if each.donors else "none",
                _mega(statistics.mean(each.unmerged)),
                f"{_mega(min(each.merged))} to {_mega(max(each.merged))}",
                _mega(each.after_restart[each.restarted]),
                f"{_mega(min(others))} to {_mega(max(others))}",
                _mega(each.settled[each.restarted]),
                _mega(each.donor_charge) if each.donors else "-",
            ]
        )
    version = "1" if charges[0].version == "v1" else "2"
    return Table(
        title=(
            f"{len(charges[0].merged)} students, each in a memory cgroup (version {version}): "
            "MB charged"
        ),
        columns=(
            "donors",
            "each, before merging",
            "each, merged",
            "the one charged most, right after its kernel was restarted",
            "the others, then",
            "that one, merged again",
            "the donors' cgroup",
        ),
        rows=rows,
    )


def notes(found: Results) -> list[str]:
    """Targets met and missed, and what a reader has to know."""
    said = []
    for count in sorted({each.students for each in found.classes}):
        stock, ours = found.find("a", count), found.find("f", count)
        if stock is None or ours is None:
            continue
        for word, name in (("imports", "imports"), ("notebooks", "after")):
            one: Stage = getattr(ours, name)
            share = one.kernels.frames / getattr(stock, name).kernels.frames
            whole = one.whole.frames / getattr(stock, name).kernels.frames
            best = one.kernels.best / getattr(stock, name).kernels.frames
            said.append(
                f"{count} students, after {word}: {share:.0%} of (a), with templates {whole:.0%}; "
                f"all equal pages merged it would be {best:.0%}."
                # What there is once is shared by fewer in a smaller class.
                + (f" Target {TARGET:.0%}: {_verdict(share <= TARGET)}." if count >= 16 else "")
            )
            reached = one.to_ninety is not None and one.to_ninety <= NINETY_SECONDS
            said.append(
                f"{count} students, after {word}: 90 % of the saving after {_ninety(one)} s. "
                f"Target {NINETY_SECONDS} s: {_verdict(reached)}."
            )
        tuned = found.find("c", count)
        if tuned is not None:
            mine, its = _total(ours), _total(tuned)
            said.append(
                f"{count} students: {mine:.1f} CPU s, ksmtuned {its:.1f}. Target, no more than "
                f"that: {_verdict(mine <= its)}. It merged {_saved(tuned) / 1e6:,.0f} MB for it, "
                f"Samepage {_saved(ours) / 1e6:,.0f} MB."
            )
        if ours.idle_share is not None:
            said.append(
                f"{count} students: {ours.idle_share:.2%} of a core at rest over "
                f"{ours.idle_seconds:g} s. Target {IDLE_TARGET:.1%}: "
                f"{_verdict(ours.idle_share <= IDLE_TARGET)}."
            )
    if found.pairs is not None:
        for number, (stock_times, ours_times) in enumerate(found.pairs.rounds, start=1):
            middle, low, high = ratio_interval(stock_times, ours_times)
            said.append(
                f"Notebooks, round {number}: {middle - 1:+.1%} run time ({low - 1:+.1%} to "
                f"{high - 1:+.1%}). Target {SLOWER_TARGET:.0%}: "
                f"{_verdict(middle - 1 <= SLOWER_TARGET)}."
            )
    if "ksmtuned by itself" in found.facts:
        said.append(
            f"ksmtuned counts processes of qemu and free memory only. Untold it "
            f"{found.facts['ksmtuned by itself']} KSM on this machine. In (c) it was told that "
            "memory is short (KSM_THRES_COEF=100), and of every student by SIGUSR1."
        )
    said += [
        f"({key[-1]}) was {key[:-3]}: {why}."
        for key, why in found.facts.items()
        if "not run" in key
    ]
    said.append("KSM was put back as found after every way.")
    return said


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def _total(each: ClassResult) -> float:
    return (each.ksmd_cpu or 0.0) + each.tuner_cpu


def _saved(each: ClassResult) -> int:
    return each.after.whole.mapped - each.after.whole.frames


def picture(found: Results, file: Path) -> None:
    """Memory per student by N; saving over time; CPU."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(14, 4.4))
    letters = sorted({each.letter for each in found.classes})
    colours = {letter: f"C{number}" for number, letter in enumerate("abcdef")}
    for letter in letters:
        mine = [each for each in found.classes if each.letter == letter]
        counts = [each.students for each in mine]
        heights = [each.after.kernels.frames / each.students / 1e6 for each in mine]
        axes[0].plot(
            counts, heights, "o-", color=colours[letter], label=f"({letter}) {mine[0].name}"
        )
        templates = [each.after.whole.frames / each.students / 1e6 for each in mine]
        if templates != heights:
            axes[0].plot(
                counts,
                templates,
                "o:",
                color=colours[letter],
                label=f"({letter}) with its templates",
            )
    axes[0].set_xticks(sorted({each.students for each in found.classes}))
    axes[0].set_xlabel("students")
    axes[0].set_ylabel("MB of the machine per student")
    axes[0].set_title("After the notebooks")
    axes[0].set_ylim(bottom=0)
    axes[0].legend(fontsize="x-small")
    most = max(
        {each.students for each in found.classes},
        key=lambda n: (len([e for e in found.classes if e.students == n]), n),
    )
    shown = [each for each in found.classes if each.students == most and each.letter != "a"]
    for each in shown:
        # ksmd lets go of what ended before the class came only once it runs.
        least = min((saved for _, saved in each.curve), default=0)
        first = next(
            (n for n, (at, saved) in enumerate(each.curve) if at >= 0 or saved == least), 0
        )
        curve = each.curve[first:]
        axes[1].plot(
            [at for at, _ in curve],
            [(saved - least) / each.students / 1e6 for _, saved in curve],
            color=colours[each.letter],
            label=f"({each.letter})",
        )
    axes[1].axvline(0, color="grey", linewidth=0.8, linestyle=":")
    axes[1].set_xlabel("seconds since the last student's imports")
    axes[1].set_ylabel("MB saved per student")
    axes[1].set_title(f"{most} students, merging over time")
    axes[1].legend(fontsize="x-small")
    axes[2].bar(
        [f"({each.letter})" for each in shown],
        [_total(each) for each in shown],
        color=[colours[each.letter] for each in shown],
    )
    axes[2].set_ylabel("CPU s of ksmd and what steers it")
    axes[2].set_title(f"{most} students, whole class")
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    plt.close(figure)
