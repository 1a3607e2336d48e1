"""Standard streams after a preload are what Python would have opened on them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labext.kernels.aligned import streams

TELL = """
import json, os, sys
def told(stream):
    if stream is None:
        return None
    raw = getattr(stream.buffer, "raw", stream.buffer)
    return [stream.name, stream.mode, stream.encoding, stream.errors, stream.line_buffering,
        stream.write_through, stream.seekable(), stream.isatty(), repr(stream.buffer), raw.closefd]
named = [(sys.stdin, sys.__stdin__), (sys.stdout, sys.__stdout__), (sys.stderr, sys.__stderr__)]
seen = [told(pair[0]) for pair in named] + [pair[0] is pair[1] for pair in named]
seen.append([os.path.exists(f"/proc/self/fd/{number}") for number in range(7)])
open(sys.argv[1], "w").write(json.dumps(seen))
print("out"); print("err", file=sys.stderr)
"""
GIVE_BACK = """
import importlib.util, sys
spec = importlib.util.spec_from_file_location("streams", sys.argv[2])
module = importlib.util.module_from_spec(spec); spec.loader.exec_module(module)
module.give_back()
"""
ASIDE = "4<&0 5>&1 6>&2 </dev/null >/dev/null 2>/dev/null"
KINDS = {
    "null": "</dev/null >/dev/null 2>&1",
    "file": "<{file} >>{file} 2>>{file}",
    "pipe": "<{file} 2>&1",
    "terminal": "<{terminal} >{terminal} 2>{terminal}",
    "closed": "<&- >{file} 2>&-",
}


def told(folder: Path, kind: str, terminal: str, *, options: str, aligned: bool) -> list[object]:
    file = folder / f"file-{aligned}"
    file.write_text("before\n")
    code = folder / f"code-{aligned}.py"
    code.write_text((GIVE_BACK if aligned else "") + TELL)
    answer = folder / f"answer-{aligned}"
    streams_of_kind = KINDS[kind].format(file=file, terminal=terminal)
    # Closed streams stay closed in between: there is nothing to keep.
    aside = ASIDE if kind != "closed" else "5>&1 </dev/null >/dev/null 2>/dev/null"
    command = f'"{sys.executable}" -I {options} "{code}" "{answer}" "{streams.__file__}"'
    inner = f"{command} {aside}" if aligned else command
    done = subprocess.run(
        ["sh", "-c", f"{{ {inner}; }} {streams_of_kind}"],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.returncode == 0
    seen: list[object] = json.loads(answer.read_text())
    written = file.read_text() + done.stdout
    return [*seen, written.replace(str(file), "FILE")]


@pytest.mark.parametrize("options", ["", "-u"])
@pytest.mark.parametrize("kind", KINDS)
def test_as_in_a_stock_start(tmp_path: Path, kind: str, options: str) -> None:
    main, line = os.openpty()
    try:
        name = os.ttyname(line)
        stock = told(tmp_path, kind, name, options=options, aligned=False)
        assert told(tmp_path, kind, name, options=options, aligned=True) == stock
    finally:
        os.close(main)
        os.close(line)
