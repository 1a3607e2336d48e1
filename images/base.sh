#!/usr/bin/env bash
# A Debian base image from packages alone, where no registry can be reached (root; needs debootstrap):
#   images/base.sh TAG [--suite bookworm] [--mirror URL] [--builder podman|docker] [-- further options of the builder]
# As debian:bookworm-slim: no documentation, no translations, no package lists.
set -euo pipefail
tag=${1:-} suite=bookworm mirror='' builder='' more=()
case $tag in '' | -*) sed -n '2,4s/^# \{0,1\}//p' "$0" >&2; exit 2 ;; esac
shift
while [ $# -gt 0 ]; do
  case $1 in
    --suite) suite=$2; shift ;;
    --mirror) mirror=$2; shift ;;
    --builder) builder=$2; shift ;;
    --) shift; more=("$@"); break ;;
    *) echo "images/base.sh: unknown option '$1'" >&2; exit 2 ;;
  esac
  shift
done
if [ -z "$builder" ]; then
  if command -v podman >/dev/null; then builder=podman; else builder=docker; fi
fi
root=$(mktemp -d)
trap 'rm -rf --one-file-system "$root"' EXIT
# minbase without its kernel and boot parts; apt's own certificates are Debian's keyring.
# Without a mirror named, debootstrap takes Debian's own.
debootstrap --variant=minbase "$suite" "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 || { tail -n 20 "$root.log" >&2; exit 1; }
rm -f "$root.log"
cat >"$root/etc/dpkg/dpkg.cfg.d/container" <<'CONF'
# An image that does not come to its end is thrown away, so nothing has to reach the disk in order.
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/man/*
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
CONF
cat >"$root/etc/apt/apt.conf.d/container" <<'CONF'
APT::Install-Recommends "false";
Acquire::Languages "none";
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
CONF
printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
chmod +x "$root/usr/sbin/policy-rc.d"
find "$root/usr/share/doc" -type f ! -name copyright -delete
rm -rf "$root"/usr/share/{man,info,locale}/* "$root"/var/lib/apt/lists/* "$root"/var/cache/{apt,debconf}/* "$root"/var/log/*
tar -C "$root" --numeric-owner --one-file-system -c . | "$builder" "${more[@]}" import - "$tag"
