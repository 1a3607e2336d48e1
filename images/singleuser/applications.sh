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

# Java registers manual pages, for which a slim base has no folder.
mkdir -p /usr/share/man/man1
# Debian's OpenRefine asks for a Java with windows, which brings a desktop's libraries (hundreds of MB). Its server has
# none: this empty package says that the headless Java will do.
headless_java() {
  local folder
  folder=$(mktemp -d)
  mkdir "$folder/DEBIAN"
  cat >"$folder/DEBIAN/control" <<'CONTROL'
Package: samepage-headless-java
Version: 1
Architecture: all
Maintainer: Samepage
Depends: default-jre-headless
Provides: java9-runtime
Description: headless Java for programs that run without windows
CONTROL
  chmod 755 "$folder" "$folder/DEBIAN"
  dpkg-deb --build --root-owner-group "$folder" /tmp/headless-java.deb >/dev/null
  apt-get install -qy --no-install-recommends /tmp/headless-java.deb
  rm -r "$folder" /tmp/headless-java.deb
}

apt-get update -q
if apt-cache show openrefine >/dev/null 2>&1; then
  headless_java
  apt-get install -qy --no-install-recommends openrefine
elif [ -n "${OPENREFINE_URL:-}" ]; then
  apt-get install -qy --no-install-recommends default-jre-headless
  fetch "$OPENREFINE_URL" "${OPENREFINE_SHA256:-}" /tmp/openrefine.tar.gz
  mkdir -p /opt/openrefine
  tar -xzf /tmp/openrefine.tar.gz -C /opt/openrefine --strip-components 1
  ln -s /opt/openrefine/refine /usr/local/bin/refine
  rm /tmp/openrefine.tar.gz
  # For the bill of materials (images/sbom.py); packages are in dpkg's own list.
  version=${OPENREFINE_URL##*openrefine-linux-}
  mkdir -p /usr/share/doc/samepage
  printf 'openrefine\t%s\t%s\t%s\n' "${version%.tar.gz}" "$OPENREFINE_URL" "${OPENREFINE_SHA256:-}" >/usr/share/doc/samepage/archives.tsv
fi
if [ -n "${RSTUDIO_URL:-}" ]; then
  fetch "$RSTUDIO_URL" "${RSTUDIO_SHA256:-}" /tmp/rstudio-server.deb
  apt-get install -qy --no-install-recommends /tmp/rstudio-server.deb
  # A key in the image would be the same for every student; each server makes its own.
  rm -f /tmp/rstudio-server.deb /var/lib/rstudio-server/secure-cookie-key
fi
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
