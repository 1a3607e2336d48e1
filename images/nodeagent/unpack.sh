#!/usr/bin/env bash
# Puts the agent and what it imports into one folder: images/nodeagent/unpack.sh VENV WHEELS FOLDER
# The rest of the distribution (the notebook side) stays out: a node needs no Jupyter.
set -euo pipefail
venv=$1 wheels=$2 folder=$3
wheel=$(echo "$wheels"/jupyter_samepage-*.whl)
"$venv/bin/python" -m pip -q --no-cache-dir --disable-pip-version-check install --no-compile -c constraints.txt \
  --target "$folder" -r "$wheels/requirements-nodeagent.txt"
"$venv/bin/python" - "$wheel" "$folder" <<'PYTHON'
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    names = [name for name in wheel.namelist() if name.startswith("nodeagent/") or ".dist-info/" in name]
    wheel.extractall(sys.argv[2], [name for name in names if "entry_points" not in name])
PYTHON
# Two megabytes of a faster YAML, for a list of courses.
rm -f "$folder"/yaml/_yaml*.so
rm -rf "${folder:?}/bin" "$folder/example.py" "$folder/__pycache__" "$folder"/*/test "$folder"/*/tests
cd / && PYTHONPATH=$folder python3 -m nodeagent --version
