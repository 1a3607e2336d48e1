"""Ends what servers left behind that were killed together with their guardians."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from pathlib import Path

from serverproxy.supervisor.ending import GIVE_UP_S, end_all
from serverproxy.supervisor.registry import RunRecord, read_records, remove_record
from serverproxy.supervisor.runtime import other_instances, owner_is_gone, take_over

log = logging.getLogger(__name__)

_LOOK_S = 0.1
_MARGIN_S = 5.0


class _AbandonedError(Exception):
    """Our own server is closing."""


def sweep_folder(base: Path, own: Path | None, closing: threading.Event) -> list[RunRecord]:
    """End the applications of dead servers below `base`; returns what was still recorded.

    Waits for a guardian that is at work, so that a new start meets no program that is still saving.
    Blocks up to the longest grace: use a thread. Folders of living servers are not touched.
    """
    swept: list[RunRecord] = []
    try:
        for folder in other_instances(base, own):
            swept += _sweep_one(folder, closing)
    except _AbandonedError:
        log.info("The server closes; the next one sweeps %s.", base)
    return swept


def _sweep_one(folder: Path, closing: threading.Event) -> list[RunRecord]:
    lock = take_over(folder)
    if lock is None and owner_is_gone(folder):
        lock = _wait_for_guardian(folder, closing)
    if lock is None:
        return []
    try:
        records = read_records(folder)
        if records:
            names = ", ".join(sorted({record.name for record in records}))
            log.warning("Ending what a killed server left: %s.", names)
        stuck = end_all(
            records,
            strict=True,
            on_gone=lambda record: remove_record(folder, record.mark),
            sleep=lambda seconds: _sleep(closing, seconds),
        )
        if not stuck:
            shutil.rmtree(folder, ignore_errors=True)
        return records
    finally:
        os.close(lock)


def _wait_for_guardian(folder: Path, closing: threading.Event) -> int | None:
    longest = max((record.grace_s for record in read_records(folder)), default=0.0)
    deadline = time.monotonic() + longest + GIVE_UP_S + _MARGIN_S
    while folder.exists() and time.monotonic() < deadline:
        lock = take_over(folder)
        if lock is not None:
            return lock
        _sleep(closing, _LOOK_S)
    return None


def _sleep(closing: threading.Event, seconds: float) -> None:
    if closing.wait(seconds):
        raise _AbandonedError
