#!/usr/bin/env bash
# System packages of the single-user image, and the user 1000:100 where the base has none.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
packages=(ca-certificates curl git git-lfs openssh-client r-base-core tini)
# A base without Jupyter gets Debian's Python; its own environment is made by python.sh.
if ! command -v conda >/dev/null && ! python3 -c 'import jupyter_server' 2>/dev/null; then
  packages+=(python3 python3-venv)
fi
apt-get install -qy --no-install-recommends "${packages[@]}"
# R as a kernel, where the distribution has it.
if apt-cache show r-cran-irkernel >/dev/null 2>&1; then apt-get install -qy --no-install-recommends r-cran-irkernel; fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb

if [ ! -d /home/jovyan ]; then
  # Ubuntu's images bring a user 1000 of their own, who would own the students' files by name.
  if getent passwd 1000 >/dev/null; then userdel "$(getent passwd 1000 | cut -d: -f1)"; fi
  useradd --no-log-init --create-home --uid 1000 --gid 100 --shell /bin/bash jovyan
fi
