#!/usr/bin/env bash
# Writes the bills of materials that lie in the built images into dist/: scripts/sbom.sh [IMAGE ...]
# IMAGE: nodeagent, singleuser, bundle, hub (default: all that are built), as images/build.sh tags them. BUILDER: podman or docker.
set -euo pipefail
cd "$(dirname "$0")/.."
builder=${BUILDER:-}
if [ -z "$builder" ]; then
  for name in podman docker; do command -v "$name" >/dev/null && builder=$name && break; done
fi
[ -n "$builder" ] || { echo "scripts/sbom.sh: neither podman nor docker is installed" >&2; exit 1; }
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
given=$#
[ "$given" -gt 0 ] || set -- nodeagent singleuser bundle hub
mkdir -p dist
found=0
for image in "$@"; do
  tag=localhost/samepage-$image:$version
  if ! "$builder" image inspect "$tag" >/dev/null 2>&1; then
    echo "scripts/sbom.sh: $tag is not built (images/build.sh $image)" >&2
    [ "$given" = 0 ] || exit 1
    continue
  fi
  out=dist/samepage-$image-$version.cdx.json
  "$builder" run --rm --network none --entrypoint cat "$tag" /usr/share/doc/samepage/sbom.cdx.json >"$out"
  echo "$out"
  found=1
done
[ "$found" = 1 ]
