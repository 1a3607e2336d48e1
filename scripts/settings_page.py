"""Writes docs/settings.md from the settings: `python scripts/settings_page.py [--check]`.

A setting's meaning, unit and default stand once, beside the setting; the page is a copy of that.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from pathlib import Path

from traitlets.config import Configurable

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"


def configurables() -> list[type[Configurable]]:
    """Every class whose traits an admin can set in jupyter_server_config.py."""
    from labext.config import Samepage
    from labext.kernels.provisioner import SamepageProvisioner

    return [Samepage, SamepageProvisioner]


def one_line(text: str) -> str:
    """`text` without line breaks, safe in a table cell."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("*", "\\*")


def trait_rows(configurable: type[Configurable]) -> list[str]:
    """One table row for each trait that the class, or one of ours below it, defines."""
    foreign = next(c for c in configurable.__mro__ if not c.__module__.startswith("labext"))
    inherited = set(foreign.class_traits(config=True))  # type: ignore[attr-defined]  # a HasTraits
    return [
        f"| `c.{configurable.__name__}.{name}` | {one_line(str(trait.help))} |"
        for name, trait in sorted(configurable.class_traits(config=True).items())
        if name not in inherited
    ]


def agent_rows() -> list[str]:
    """One table row for each field of AgentConfig, from the text under it in the source."""
    from nodeagent import config

    tree = ast.parse(inspect.getsource(config.AgentConfig))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    rows = []
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            name = field.target.id
            flag = "no-gpu" if name == "gpu" else name.replace("_", "-")
            rows.append(
                f"| `--{flag}` | `NODEAGENT_{name.upper()}` | {one_line(str(text.value.value))} |"
            )
    return rows


def page() -> str:
    """The whole page."""
    lines = [
        "# Settings",
        "",
        "Written by `make settings` from the settings themselves; a test holds the two together.",
        "",
        "## In the Jupyter server",
        "",
        "Traitlets: in `jupyter_server_config.py`, or on a command line (`--Samepage.name=value`).",
        "",
    ]
    for configurable in configurables():
        lines += ["| setting | meaning, unit, default |", "|---|---|"]
        lines += [*trait_rows(configurable), ""]
    lines += [
        "Applications read the environment of the Jupyter server, see "
        "[applications](applications.md).",
        "",
        "## In the node agent",
        "",
        "A flag of `samepage-agent`, or a variable of its environment; the flag wins.",
        "",
        "| flag | variable | meaning, unit, default |",
        "|---|---|---|",
        *agent_rows(),
    ]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Exit status: 1 when --check finds the page out of date."""
    text = page()
    if "--check" in arguments:
        if PAGE.read_text(encoding="utf-8") == text:
            return 0
        print("docs/settings.md is out of date. Type: make settings", file=sys.stderr)
        return 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
