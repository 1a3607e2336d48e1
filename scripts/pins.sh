#!/usr/bin/env bash
# Writes into images/pins.env the digests and checksums that it really sees: needs internet, and skopeo, podman or docker.
set -euo pipefail
cd "$(dirname "$0")/.."
file=images/pins.env
# shellcheck source=images/pins.env disable=SC1091
. "$file"

say() { printf '[pins] %s\n' "$*"; }
missed=0
miss() {
  printf '[pins] %s\n' "$*" >&2
  missed=1
}

# digest IMAGE: of the whole index, so that it holds for every architecture.
digest() {
  local found=''
  if command -v skopeo >/dev/null; then
    found=$(skopeo inspect --raw "docker://$1" | sha256sum | cut -d' ' -f1) && printf 'sha256:%s' "$found"
  elif command -v podman >/dev/null; then
    podman pull -q "$1" >/dev/null && podman image inspect --format '{{.Digest}}' "$1"
  elif command -v docker >/dev/null; then
    docker buildx imagetools inspect --format '{{.Manifest.Digest}}' "$1"
  else
    return 1
  fi
}
write() { # write NAME VALUE
  sed -i "s|^$1=.*|$1=$2|" "$file"
  say "$1=$2"
}
for name in DEBIAN NOTEBOOK HUB; do
  image=${name}_IMAGE
  if seen=$(digest "${!image}") && [[ $seen =~ ^sha256:[0-9a-f]{64}$ ]]; then
    write "${name}_DIGEST" "$seen"
  else
    miss "no digest of ${!image}: is its registry reachable, and skopeo, podman or docker installed? ${name}_DIGEST stays as it is."
  fi
done
for name in OPENREFINE RSTUDIO; do
  url=${name}_URL sum=${name}_SHA256
  [ -n "${!url}" ] || continue
  download=$(mktemp)
  if curl -fsSL --retry 3 -o "$download" "${!url}"; then
    seen=$(sha256sum "$download" | cut -d' ' -f1)
    # A checksum that changes under the same address is news, never a routine update.
    if [ -n "${!sum}" ] && [ "${!sum}" != "$seen" ]; then
      miss "${!url} has checksum $seen now, and ${!sum} is pinned. Nothing was written: find out why first."
    else
      write "${name}_SHA256" "$seen"
    fi
  else
    miss "cannot fetch ${!url}: $sum stays as it is."
  fi
  rm -f "$download"
done
exit "$missed"
