"""Runs labext.kernels.server_start, which becomes the server: ``aligned.py [ARGUMENT ...]``."""

import sys
from pathlib import Path

if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    sys.path[0] = str(root / "ours")
    from labext.kernels.server_start import main

    sys.exit(main())
