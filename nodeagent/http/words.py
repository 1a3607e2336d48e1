"""Numbers as people read them. Pure."""


def bytes_text(amount: int | None) -> str:
    """`1.6 GiB`; an em dash when not known."""
    if amount is None:
        return "—"
    value, sign = float(abs(amount)), "−" if amount < 0 else ""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return (
                f"{sign}{value:.0f} {unit}"
                if value >= 100 or unit == "bytes"
                else (f"{sign}{value:.1f} {unit}")
            )
        value /= 1024
    return f"{sign}{value:.1f} TiB"


def percent_text(ratio: float | None) -> str:
    """`2.4 %`; an em dash when not known."""
    return "—" if ratio is None else f"{ratio * 100:.1f} %"


def age_text(seconds: float) -> str:
    """`12 s`, `5 min`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def one_line(text: str) -> str:
    """For a terminal: characters that are none (its commands, line ends, marks that turn the
    direction of writing) as `?`. Names of pods, users and cgroups are other people's words."""
    return "".join(char if char.isprintable() else "?" for char in text)


def lines_of(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(one_line(line) for line in text.split("\n"))
