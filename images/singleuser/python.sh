#!/usr/bin/env bash
# Python packages of the single-user image:  python.sh dependencies | python.sh wheel FOLDER
# On a base with Jupyter they join it, and nothing that it brings changes its version; on a bare base they get
# /opt/jupyter, pinned by constraints.txt.
set -euo pipefail
step=$1
here=$(cd "$(dirname "$0")" && pwd)
if [ -x /opt/conda/bin/python ]; then
  python=/opt/conda/bin/python
elif python3 -c 'import jupyter_server' 2>/dev/null; then
  python=$(command -v python3)
else
  python=/opt/jupyter/bin/python
fi
pip() { "$python" -m pip --disable-pip-version-check --no-cache-dir -q "$@"; }

case $step in
dependencies)
  if [ ! -x "$python" ]; then
    python3 -m venv /opt/jupyter
    pip install "pip==$PIP_VERSION"
  fi
  # What the base has stays as it is; everything new comes in the version that the tests passed with.
  "$python" - "$here/constraints.txt" >/tmp/constraints <<'PYTHON'
import re
import sys
from importlib.metadata import distributions


def norm(name):
    return re.sub(r"[-_.]+", "-", name).lower()


there = {norm(found.metadata["Name"]): found.version for found in distributions() if found.metadata["Name"]}
for line in open(sys.argv[1]):
    name, _, version = line.strip().partition("==")
    if version and norm(name) not in there:
        print(f"{name}=={version}")
for name, version in there.items():
    if name not in ("pip", "setuptools", "wheel"):
        print(f"{name}=={version}")
PYTHON
  pip install -c /tmp/constraints -r "$here/requirements-notebook.txt" jupyterhub
  rm /tmp/constraints
  ;;
wheel)
  (cd "$2" && sha256sum --quiet -c "$here/SHA256SUMS")
  pip install --no-deps --no-index "$2"/*.whl
  pip check
  ;;
esac
# docker-stacks lets the group of its users install further packages.
if command -v fix-permissions >/dev/null; then fix-permissions /opt/conda; fi
