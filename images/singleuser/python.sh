#!/usr/bin/env bash
# Python packages of the single-user image:  python.sh dependencies|wheel WHEEL
# On a base with Jupyter they join it, and nothing that it brings changes its version; on a bare base they get
# /opt/jupyter, pinned by constraints.txt.
set -euo pipefail
step=$1 wheel=$2
here=$(dirname "$0")
if [ -x /opt/conda/bin/python ]; then
  python=/opt/conda/bin/python
elif python3 -c 'import jupyter_server' 2>/dev/null; then
  python=$(command -v python3)
else
  python=/opt/jupyter/bin/python
  [ -x $python ] || python3 -m venv /opt/jupyter
fi
pip() { "$python" -m pip --disable-pip-version-check --no-cache-dir -q "$@"; }

if [ "$step" = dependencies ]; then
  # What the base has stays as it is; everything new comes in the version that the tests passed with.
  "$python" - "$here/constraints.txt" >/tmp/constraints <<'PYTHON'
import re
import sys
from importlib.metadata import distributions

norm = lambda name: re.sub(r"[-_.]+", "-", name).lower()
there = {norm(found.metadata["Name"]): found.version for found in distributions() if found.metadata["Name"]}
for line in open(sys.argv[1]):
    name, _, version = line.strip().partition("==")
    if version and norm(name) not in there:
        print(f"{name}=={version}")
for name, version in there.items():
    if name not in ("pip", "setuptools", "wheel"):
        print(f"{name}=={version}")
PYTHON
  # The wheel's dependencies alone: its own files change with every commit and get a layer of their own.
  pip install -c /tmp/constraints "${wheel}[notebook]" jupyterhub
  pip uninstall -y jupyter-samepage
  rm /tmp/constraints
else
  pip install --no-deps --no-index "$wheel"
  pip check
fi
# docker-stacks lets the group of its users install further packages.
if command -v fix-permissions >/dev/null; then fix-permissions /opt/conda; fi
