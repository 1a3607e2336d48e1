"""Becomes the image's own server with Samepage in it: ``enter.py STOCK [ARGUMENT ...]``.

Run by bin/samepage-singleuser with the Python of STOCK, the image's own command. Any Python must
be able to read this file: one that is too old gets no further than the first test.
"""

import importlib
import os
import platform
import sys

OLDEST = (3, 11)


def main():  # type: () -> None
    """Never returns: this process becomes a server, with Samepage or as stock."""
    stock = sys.argv[1]
    chosen = os.environ.get("SAMEPAGE_SINGLEUSER", "").split()
    words, given = chosen[1:], sys.argv[2:]
    if sys.version_info < OLDEST:
        reason = "it needs Python 3.11 or newer, and this is " + platform.python_version()
    else:
        try:
            reason = importlib.import_module("survey").become(stock, words, given)
        except Exception as err:  # noqa: BLE001 - on any doubt the image's own server starts
            reason = type(err).__name__ + ": " + str(err)
    if reason is not None:
        sys.stderr.write("samepage-singleuser: starting without Samepage: " + reason + "\n")
    sys.stderr.flush()
    try:
        os.execv(stock, [stock] + words + given)  # noqa: RUF005 - old Pythons read this
    except OSError as err:
        sys.stderr.write("samepage-singleuser cannot run " + stock + ": " + str(err) + "\n")
        sys.exit(127)


if __name__ == "__main__":
    main()
