#!/usr/bin/env bash
# Makes the virtual environment of the pinned requirements, unless it is there: venv.sh <python> <folder> <requirements>
set -euo pipefail
python=$1 folder=$2 requirements=$3
[[ -e $folder/.done ]] && exit 0

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "Python 3.11 or newer is needed, and \`$python\` is not: install it, or name it: make PYTHON=/path/to/python3" >&2
    exit 1
fi
# Debian's Python comes without the module that puts pip into a virtual environment.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [[ $EUID -ne 0 ]] || ! command -v apt-get >/dev/null; then
        echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)" >&2
        exit 1
    fi
    echo "Debian packages: installing python3-venv (about 10 s)" >&2
    DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends python3-venv >/dev/null
fi

echo "Python environment: installing pinned packages into $folder (about 1 minute)" >&2
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
"$python" -m venv "$folder"
"$folder/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$requirements"
# Last, so that an installation that was broken off is made anew.
touch "$folder/.done"
