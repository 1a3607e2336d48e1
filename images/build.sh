#!/usr/bin/env bash
# Builds an image with podman or docker:
#   images/build.sh nodeagent|singleuser|bundle|hub [options] [-- further options of the builder]
#     --base IMAGE         base image; default: the pinned one of images/pins.env
#     --wheel-base IMAGE   image of the stage that builds the wheel; default: the pinned Debian, or --base for agent and bundle
#     --wheel FILE         a wheel of this tree that is built already
#     --tag NAME[:TAG]     default localhost/samepage-<image>:<version>
#     --builder PROGRAM    podman or docker; default: the one that is there
#     --rstudio            RStudio Server too (singleuser; AGPL, fetched by your build)
#     --platform LIST      such as linux/amd64,linux/arm64
#     --pip-conf FILE --npmrc FILE --apt-conf FILE --apt-sources FILE --ca FILE
#                          a private mirror or authority: mounted while building, in no layer and no history
#     --allow-unpinned     go on although the base image or a download has no digest
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
  printf 'images/build.sh: %s\n' "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}
image=${1:-}
case $image in nodeagent | singleuser | bundle | hub) shift ;; -h | --help | '') sed -n '2,15s/^# \{0,1\}//p' "$0"; exit $((${#image} ? 0 : 2)) ;; *) die "there is no image '$image'" "Give nodeagent, singleuser, bundle or hub." ;; esac

base='' wheel_base='' wheel='' tag='' builder='' unpinned=0 rstudio=0
secrets=() more=()
secret() { # secret ID FILE
  [ -r "$2" ] || die "cannot read $2 (for $1)"
  secrets+=(--secret "id=$1,src=$2")
}
while [ $# -gt 0 ]; do
  case $1 in
    --base) base=$2; shift ;;
    --wheel-base) wheel_base=$2; shift ;;
    --wheel) wheel=$2; shift ;;
    --tag) tag=$2; shift ;;
    --builder) builder=$2; shift ;;
    --platform) more+=(--platform "$2"); shift ;;
    --rstudio) rstudio=1 ;;
    --allow-unpinned) unpinned=1 ;;
    --pip-conf) secret pip_conf "$2"; shift ;;
    --npmrc) secret npmrc "$2"; shift ;;
    --apt-conf) secret apt_conf "$2"; shift ;;
    --apt-sources) secret apt_sources "$2"; shift ;;
    --ca) secret ca "$2"; shift ;;
    --) shift; more+=("$@"); break ;;
    *) die "unknown option '$1'" "images/build.sh --help lists them." ;;
  esac
  shift
done

# shellcheck source=images/pins.env disable=SC1091
. images/pins.env
pinned() { # pinned IMAGE DIGEST: the reference by digest where it is known
  if [ -n "$2" ]; then printf '%s@%s' "${1%:*}" "$2"; else printf '%s' "$1"; fi
}
debian=$(pinned "$DEBIAN_IMAGE" "$DEBIAN_DIGEST")
case $image in
  nodeagent | bundle) base=${base:-$debian} wheel_base=${wheel_base:-$base} ;;
  singleuser) base=${base:-$(pinned "$NOTEBOOK_IMAGE" "$NOTEBOOK_DIGEST")} wheel_base=${wheel_base:-$debian} ;;
  hub) base=${base:-$(pinned "$HUB_IMAGE" "$HUB_DIGEST")} wheel_base=${wheel_base:-$debian} ;;
esac
for name in "$base" "$wheel_base"; do
  case $name in
    *@sha256:* | localhost/*) ;;
    *) [ "$unpinned" = 1 ] || die "the base image $name has no digest" \
      "'make pins' on a machine with internet writes the digests into images/pins.env;" \
      "or give IMAGE@sha256:... yourself (--base, --wheel-base), or --allow-unpinned for a trial." ;;
  esac
done
if [ "$rstudio" = 1 ]; then
  [ "$image" = singleuser ] || die "--rstudio is for the singleuser image"
  [ -n "$RSTUDIO_URL" ] || die "images/pins.env names no RStudio Server" "Set RSTUDIO_URL and RSTUDIO_SHA256."
  more+=(--build-arg "RSTUDIO_URL=$RSTUDIO_URL" --build-arg "RSTUDIO_SHA256=$RSTUDIO_SHA256")
fi
[ "$image" != singleuser ] || more+=(
  --build-arg "ALLOW_UNPINNED=$unpinned" --build-arg "OPENREFINE_URL=$OPENREFINE_URL" --build-arg "OPENREFINE_SHA256=$OPENREFINE_SHA256"
)

if [ -z "$builder" ]; then
  for name in podman docker; do
    if command -v "$name" >/dev/null; then builder=$name && break; fi
  done
  [ -n "$builder" ] || die "neither podman nor docker is installed" "On Debian or Ubuntu: sudo apt-get install podman"
fi
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
tag=${tag:-localhost/samepage-$image:$version}
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)
# One date for one commit: the same tree gives the same labels.
created=$(git show -s --format=%cI HEAD 2>/dev/null || true)
case $(basename "$builder") in podman) more+=(--format docker) ;; docker) export DOCKER_BUILDKIT=1 ;; esac

if [ -n "$wheel" ]; then
  [ -r "$wheel" ] || die "cannot read $wheel (for --wheel)"
  trap 'rm -f "images/wheel/$(basename "$wheel")"' EXIT
  cp "$wheel" images/wheel/
fi
echo "images/build.sh: $tag from $base with $builder"
"$builder" build -f "images/$image/Dockerfile" -t "$tag" \
  --build-arg "BASE_IMAGE=$base" --build-arg "WHEEL_IMAGE=$wheel_base" --build-arg "PIP_VERSION=$PIP_VERSION" \
  --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" \
  "${secrets[@]}" "${more[@]}" .
