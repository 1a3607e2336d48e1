#!/usr/bin/env bash
# OpenRefine and, if RSTUDIO_URL is given, RStudio Server (AGPL-3.0: fetched by whoever builds, from its makers).
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
[ ! -s /run/secrets/ca.crt ] || export CURL_CA_BUNDLE=/run/secrets/ca.crt

# fetch URL SHA256 FILE: refuses what is not what was pinned.
fetch() {
  if [ -z "$2" ] && [ "${ALLOW_UNPINNED:-0}" != 1 ]; then
    echo "No checksum for $1. 'make pins' writes it into images/pins.env; --allow-unpinned goes on without." >&2
    exit 1
  fi
  curl -fsSL --retry 3 -o "$3" "$1"
  [ -z "$2" ] || echo "$2  $3" | sha256sum -c -
}

apt-get update -q
if apt-cache show openrefine >/dev/null 2>&1; then
  apt-get install -qy --no-install-recommends openrefine default-jre-headless
elif [ -n "${OPENREFINE_URL:-}" ]; then
  apt-get install -qy --no-install-recommends default-jre-headless
  fetch "$OPENREFINE_URL" "${OPENREFINE_SHA256:-}" /tmp/openrefine.tar.gz
  mkdir -p /opt/openrefine
  tar -xzf /tmp/openrefine.tar.gz -C /opt/openrefine --strip-components 1
  ln -s /opt/openrefine/refine /usr/local/bin/refine
  rm /tmp/openrefine.tar.gz
fi
if [ -n "${RSTUDIO_URL:-}" ]; then
  fetch "$RSTUDIO_URL" "${RSTUDIO_SHA256:-}" /tmp/rstudio-server.deb
  apt-get install -qy --no-install-recommends /tmp/rstudio-server.deb
  # A key in the image would be the same for every student; each server makes its own.
  rm -f /tmp/rstudio-server.deb /var/lib/rstudio-server/secure-cookie-key
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
