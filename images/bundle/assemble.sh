#!/usr/bin/env bash
# Makes the bundle's tree:  images/bundle/assemble.sh VENV WHEELS FOLDER
#   ours/           labext and serverproxy, for every Python
#   site-3.X/       packages.txt as that Python needs it
#   data/NAME/      etc/jupyter and share/jupyter of the distribution NAME
#   bin/ libexec/   the start
set -euo pipefail
venv=$1 wheels=$2 folder=$3
here=$(cd "$(dirname "$0")" && pwd)
python=$venv/bin/python
read -r -a versions <<<"${PYTHONS:-3.11 3.12 3.13 3.14}"
pip() { "$python" -m pip --no-cache-dir --disable-pip-version-check -q "$@"; }
mkdir -p "$folder/data"
cp -r "$here/bin" "$here/libexec" "$folder/"

# data DISTRIBUTION FOLDER: takes what a target folder got beside packages
data() {
  mkdir -p "$folder/data/$1"
  for part in etc share; do
    [ ! -d "$2/$part/jupyter" ] || { mkdir -p "$folder/data/$1/$part" && mv "$2/$part/jupyter" "$folder/data/$1/$part/"; }
  done
  rm -rf "${2:?}/etc" "${2:?}/share" "${2:?}/bin"
}

pip install --no-deps --no-index --no-compile --target "$folder/ours" "$wheels"/*.whl
data jupyter-samepage "$folder/ours"
rm -rf "$folder/ours/nodeagent"

for name in jupyter-server-proxy nbgitpuller; do
  pip install --no-deps --no-compile -c constraints.txt --target /tmp/data "$name"
  data "$name" /tmp/data
  rm -rf /tmp/data
done
for version in "${versions[@]}"; do
  site=$folder/site-$version
  pip install --no-deps --no-compile -c constraints.txt -r "$here/packages.txt" --target "$site" --only-binary :all: \
    --implementation cp --python-version "$version" --platform "manylinux_2_28_$(uname -m)"
  rm -rf "${site:?}/etc" "${site:?}/share" "${site:?}/bin"
done
# For the Python that is here; another one writes its own where the volume may be written. Hashes that nobody checks,
# so that neither a copy nor another place on the disk makes them stale.
own=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
[ ! -d "$folder/site-$own" ] || "$python" -m compileall -q -s "$folder" -p /opt/samepage --invalidation-mode unchecked-hash "$folder/ours" "$folder/site-$own"
sed -n 's/^Version: //p' "$folder"/ours/jupyter_samepage-*.dist-info/METADATA | head -n 1 >"$folder/VERSION"
chmod -R a+rX "$folder"
