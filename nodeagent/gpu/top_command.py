"""`samepage-agent gpu top`: asks the running agent again and again, and shows its GPUs."""

import http.client
import json
import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from nodeagent.config import Address
from nodeagent.gpu.top import Style, render, with_now
from nodeagent.http.app import PRIVATE_SOCKET
from nodeagent.http.words import one_line
from nodeagent.status import NoAgentError, OverSocket

_MOST_BYTES = 64 * 2**20
_SCREEN, _BACK = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"
_WIDTH = 80

Source = Callable[[], dict[str, Any]]


def ask_report(state_dir: Path, listen: Address | None, token: str | None) -> dict[str, Any]:
    """From the agent's own socket, or with a token from its address. NoAgentError: neither."""
    path = state_dir / PRIVATE_SOCKET
    headers: dict[str, str] = {}
    if token is not None and listen is not None:
        place = str(listen)
        connection: http.client.HTTPConnection = http.client.HTTPConnection(
            listen.host, listen.port, timeout=5
        )
        headers["Authorization"] = f"Bearer {token}"
        fix = "Give the --listen and the --token-file of the agent."
    else:
        place, connection = str(path), OverSocket(path)
        fix = "Run as the agent's user, or give --token-file; start one with samepage-agent run."
    try:
        connection.request("GET", "/v1/gpu/report", headers=headers)
        answer = connection.getresponse()
        found = json.loads(answer.read(_MOST_BYTES))
    except (OSError, ValueError, http.client.HTTPException) as err:
        why = getattr(err, "strerror", None) or err
        raise NoAgentError(f"No agent answers on {place}: {why}", fix=fix) from err
    finally:
        connection.close()
    if answer.status != http.client.OK or not isinstance(found, dict):
        message = found.get("message") if isinstance(found, dict) else "not an agent's answer"
        raise NoAgentError(f"The agent on {place} says: {message}", fix=fix)
    return found


def run_top(source: Source, *, once: bool, as_json: bool, seconds: float, out: TextIO) -> int:
    """Until q, or once where that was asked for or nobody can see it live."""
    if as_json:
        print(json.dumps(source()), file=out)
        return 0
    if once or not out.isatty() or not sys.stdin.isatty():
        plain = not out.isatty() or "NO_COLOR" in os.environ
        width = shutil.get_terminal_size((_WIDTH, 24)).columns if out.isatty() else _WIDTH
        lines = render(with_now(source()), width=width, style=Style(plain=plain))
        print("\n".join(lines), file=out)
        return 0
    return _live(source, seconds, out)


def _live(source: Source, seconds: float, out: TextIO) -> int:
    keys = sys.stdin.fileno()
    before = termios.tcgetattr(keys)
    style = Style(plain="NO_COLOR" in os.environ)
    out.write(_SCREEN)
    try:
        tty.setcbreak(keys)
        while True:
            size = shutil.get_terminal_size((_WIDTH, 24))
            _draw(_lines(source, size.columns, style), size.lines, out)
            if _quit_pressed(keys, seconds):
                return 0
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
        out.write(_BACK)
        out.flush()


def _lines(source: Source, width: int, style: Style) -> list[str]:
    """What went wrong is shown and tried again: an agent may be starting anew."""
    try:
        return render(with_now(source()), width=width, style=style)
    except NoAgentError as err:
        return [one_line(f"{err.message}."), err.fix, time.strftime("%H:%M:%S")]


def _draw(lines: list[str], height: int, out: TextIO) -> None:
    shown = lines[: height - 1]
    if len(lines) > len(shown):
        shown[-1] = f"… and {len(lines) - len(shown) + 1} lines more; a taller window shows them"
    out.write(_HOME + "".join(f"{line}{_CLEAR_LINE}\r\n" for line in shown))
    out.write(f"q quits{_CLEAR_BELOW}")
    out.flush()


def _quit_pressed(keys: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        ready, _, _ = select.select([keys], [], [], left)
        if ready:
            pressed = os.read(keys, 64)
            # An ended terminal reads as nothing.
            return not pressed or b"q" in pressed or b"\x03" in pressed
    return False
