"""``samepage-singleuser``: a Jupyter server that opts in to page merging and starts aligned.

It takes the place of ``jupyterhub-singleuser`` (or of another command that SAMEPAGE_SINGLEUSER
names) and passes every argument on. The process stays the same one throughout: this program
becomes the aligned start, and that runs the server's own script. On any doubt it becomes the stock
command at once.
"""

import json
import os
import platform
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import launch
from .aligned import streams
from .aligned.layout import restore_randomisation, set_stack_limit
from .aligned_process import NotAlignedError
from .command import opt_in_survives_exec
from .node_switch import DEFAULT_URL, UNSAID, URL_VARIABLE, NodeSwitch, Word
from .secret import layout_from
from .support import node_merges
from .surroundings import common_environment, unfit
from .switch import ALIGNED_VARIABLE, SWITCH_VARIABLE, align_switch, is_off, is_on

COMMAND_VARIABLE = "SAMEPAGE_SINGLEUSER"
_STOCK_COMMANDS = ("jupyterhub-singleuser", "jupyter-lab")
_SERVER = Path(__file__).with_name("aligned") / "start_server.py"
_ASSIGNMENT = 3
_PRELOAD_SECONDS = 20.0
#: Libraries of a server that read nothing of its owner's when they are imported; Jupyter's own
#: packages do (HOME, USER, JUPYTER_*) and come after the preload.
MODULES = (
    "asyncio",
    "http.server",
    "sqlite3",
    "unittest.mock",
    "email.mime.text",
    "tornado.web",
    "tornado.websocket",
    "tornado.simple_httpclient",
    "zmq.asyncio",
    "zmq.eventloop.zmqstream",
    "yaml",
    "jinja2",
    "traitlets.config",
    "packaging.version",
    "psutil",
    "requests",
    "httpx",
    "argon2",
    "bs4",
    "bleach",
    "mistune",
    "babel.dates",
    "jsonschema",
    "terminado",
    "nbformat",
    "jupyter_events",
)
#: Read by these libraries, or by OpenSSL for them, and the same for all servers of a hub.
_ALSO_CARRIED = ("SSL_*", "OPENSSL_*", "TORNADO_*", "PYZMQ_*", "PSUTIL_*", "AIOHTTP_*")


class NoCommandError(Exception):
    """There is no server to start; the text says what to do."""


@dataclass(frozen=True, kw_only=True)
class Stock:
    """The command as it would be without us: program, all words, and its script's Python."""

    words: tuple[str, ...]
    python: str | None


def find_stock(arguments: Sequence[str], environment: Mapping[str, str], *, beside: Path) -> Stock:
    """The command to become. `beside`: the folder with this Python's programs.

    Errors: NoCommandError.
    """
    chosen = environment.get(COMMAND_VARIABLE, "").split()
    candidates = [chosen] if chosen else [[name] for name in _STOCK_COMMANDS]
    path = os.pathsep.join([str(beside), environment.get("PATH", os.defpath)])
    for words in candidates:
        program = shutil.which(words[0], path=path)
        if program is not None:
            whole = (program, *words[1:], *arguments)
            return Stock(words=whole, python=script_python(Path(program)))
    names = chosen[:1] or list(_STOCK_COMMANDS)
    raise NoCommandError(
        f"samepage-singleuser found none of {', '.join(names)}; install jupyterhub in this "
        f"environment, or name the command in {COMMAND_VARIABLE}"
    )


def script_python(script: Path) -> str | None:
    """The Python of a script's first line, when it is a plain one, else None."""
    if script.is_symlink():
        return None  # Python would put another folder on its path
    try:
        with script.open("rb") as file:
            first = file.readline(512)
    except OSError:
        return None
    program = os.fsdecode(first[2:].strip())
    plain = first.startswith(b"#!/") and not any(c.isspace() for c in program)
    return program if plain and Path(program).name.startswith("python") else None


def hindrance(
    stock: Stock,
    environment: Mapping[str, str],
    *,
    open_files: Sequence[int],
    word: Word = UNSAID,
) -> str | None:
    """Why this server cannot start aligned; None when it can. `word`: of the node."""
    switch = align_switch(
        trait=None,
        environment=environment,
        metadata={},
        node_merges=node_merges(),
        node_allows=word.align,
    )
    if not switch.on:
        return switch.why
    if stock.python is None:
        return f"{stock.words[0]} is not a script of Python"
    if any(number > 2 for number in open_files):
        return "it was started with files that are open already"
    return unfit(environment)


def main() -> int:
    """Become the server; returns only when there is none (127)."""
    environment = {os.fsdecode(k): os.fsdecode(v) for k, v in launch.original_environment().items()}
    try:
        stock = find_stock(sys.argv[1:], environment, beside=Path(sys.executable).parent)
    except NoCommandError as err:
        print(err, file=sys.stderr)
        return 127
    launch.restore_signals()
    if not is_off(environment.get(SWITCH_VARIABLE)):
        word = NodeSwitch(environment.get(URL_VARIABLE, DEFAULT_URL)).word()
        if word.merge is False:
            reason = "merging is switched off for this node (its agent says so)"
        else:
            reason = _opt_in() or _try_aligned(stock, environment, word)
        asked = environment.get(ALIGNED_VARIABLE)
        if not is_off(asked) and (is_on(asked) or node_merges()):
            print(f"samepage-singleuser: starting without alignment: {reason}", file=sys.stderr)
    try:
        os.execve(stock.words[0], stock.words, environment)
    except OSError as err:
        print(f"samepage-singleuser cannot run {stock.words[0]}: {err}", file=sys.stderr)
    return 127


def _opt_in() -> str | None:
    release = platform.release()
    if not opt_in_survives_exec(release):
        return f"Linux {release} forgets the opt-in to merging; it needs 6.10"
    problem = launch.opt_in()
    return None if problem is None else f"Linux refused the opt-in ({problem})"


def _inherited() -> list[int]:
    return [
        int(name)
        for name in os.listdir("/proc/self/fd")  # noqa: PTH208 - names are all that is wanted
        if Path(f"/proc/self/fd/{name}").exists() and os.get_inheritable(int(name))
    ]


def _try_aligned(stock: Stock, environment: Mapping[str, str], word: Word) -> str:
    """Become the aligned start; returns why that was not possible."""
    try:
        reason = hindrance(stock, environment, open_files=_inherited(), word=word)
        if reason is not None:
            return reason
        assert stock.python is not None
        layout, usual_stack = layout_from(environment.get("SAMEPAGE_LAYOUT_SECRET", ""))
        plan = {
            "modules": list(MODULES),
            "seconds": _PRELOAD_SECONDS,
            "stack": None if layout == "fixed" else [int(layout), usual_stack],
            "compiled": 0,
        }
        command = [stock.python, str(_SERVER), json.dumps(plan)]
        # Nothing that is loaded here reads a cache.
        common = common_environment(environment, cache_folder="/nonexistent", also=_ALSO_CARRIED)
        folder = os.getcwd()  # noqa: PTH109 - the text, for JSON
        fields = {
            "command": [stock.python, *stock.words],
            "arguments": list(stock.words),
            "environment": dict(environment),
            "folder": folder,
        }
        assignment = os.memfd_create("samepage-assignment", 0)
        os.write(assignment, json.dumps(fields).encode())
        os.dup2(assignment, _ASSIGNMENT)
        if assignment != _ASSIGNMENT:
            os.close(assignment)
    except (NotAlignedError, OSError, ValueError) as err:
        return str(err)
    problem = launch.fix_layout(None if layout == "fixed" else int(layout))
    if problem is not None:
        os.close(_ASSIGNMENT)
        return f"Linux refused a fixed layout ({problem})"
    try:
        launch.set_streams_aside()
        os.chdir("/")
        os.execve(command[0], command, common)
    except OSError as err:
        _undo(folder, usual_stack if layout != "fixed" else None)
        return f"its Python cannot run ({err})"


def _undo(folder: str, stack: int | None) -> None:
    """What was changed for the aligned start is as it was."""
    streams.restore_descriptors()
    os.chdir(folder)
    os.close(_ASSIGNMENT)
    restore_randomisation()
    if stack is not None:
        set_stack_limit(stack)


if __name__ == "__main__":
    sys.exit(main())
