#!/usr/bin/env bash
# Makes the secrets that are missing, and deploys or updates the stack. On a manager of the swarm:
#   export SAMEPAGE_HUB_IMAGE=... SAMEPAGE_SINGLEUSER_IMAGE=... SAMEPAGE_NODEAGENT_IMAGE=...
#   deploy/swarm/deploy.sh [options of docker stack deploy]
set -euo pipefail
cd "$(dirname "$0")"
docker=${DOCKER:-docker}

die() {
  printf 'deploy.sh: %s\n' "$@" >&2
  exit 1
}
for name in SAMEPAGE_HUB_IMAGE SAMEPAGE_SINGLEUSER_IMAGE SAMEPAGE_NODEAGENT_IMAGE; do
  [ -n "${!name:-}" ] || die "$name is not set; give the name of the image in your registry."
done
case $("$docker" info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>&1) in
  'active true') ;;
  *) die "this docker is no manager of a swarm; on the first node: docker swarm init" ;;
esac

# secret NAME BYTES: at random, in hexadecimal, if there is none of that name.
secret() {
  if ! "$docker" secret inspect "$1" >/dev/null 2>&1; then
    od -An -tx1 -N "$2" /dev/urandom | tr -d ' \n' | "$docker" secret create "$1" - >/dev/null
    echo "secret $1 made"
  fi
}
secret samepage-hub-cookie 32
secret samepage-proxy-token 32
secret samepage-agent-token 32
"$docker" secret inspect samepage-class-password >/dev/null 2>&1 ||
  die "choose the class's password: printf %s 'THE PASSWORD' | docker secret create samepage-class-password -"

SAMEPAGE_CONFIGS=$(cat jupyterhub_config.py ../hub/samepage_courses.py ../z2jh/courses/*.yaml | sha256sum | cut -c1-12)
export SAMEPAGE_CONFIGS
exec "$docker" stack deploy --compose-file stack.yml "$@" "${SAMEPAGE_STACK:-samepage}"
