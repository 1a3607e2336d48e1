#!/usr/bin/env bash
# Python packages of the hub's image:  install.sh dependencies | install.sh wheel FOLDER
# On a base with JupyterHub they join it, and nothing that it brings changes its version; on a bare base they get
# /opt/jupyterhub, pinned by constraints.txt.
set -euo pipefail
step=$1
here=$(cd "$(dirname "$0")" && pwd)
own=/opt/jupyterhub/bin/python
python=$(command -v python3 || true)
if [ -z "$python" ] || ! "$python" -c 'import jupyterhub' 2>/dev/null; then python=$own; fi
pip() { "$python" -m pip --disable-pip-version-check --no-cache-dir -q "$@"; }

case $step in
dependencies)
  if [ "$python" = "$own" ]; then
    apt-get update -q
    apt-get install -qy --no-install-recommends ca-certificates python3 python3-venv
    rm -rf /var/lib/apt/lists/*
    python3 -m venv /opt/jupyterhub
    pip install "pip==$PIP_VERSION"
  fi
  # What the base has stays as it is; everything new comes in the version that the tests passed with.
  pip list --format=freeze >/tmp/there
  awk -F== '{ name = tolower($1); gsub(/[-_.]+/, "-", name) }
    NR == FNR { there[name] = 1; print; next } $2 && !(name in there)' /tmp/there "$here/constraints.txt" >/tmp/constraints
  pip install -c /tmp/constraints -r "$here/requirements-hub.txt" dockerspawner jupyterhub-idle-culler PyYAML
  rm /tmp/there /tmp/constraints
  ;;
wheel)
  (cd "$2" && sha256sum --quiet -c "$here/SHA256SUMS")
  pip install --no-deps --no-index "$2"/*.whl
  pip check
  cd / && "$python" -c 'import dockerspawner, hubext, jupyterhub_idle_culler, yaml'
  ;;
esac
