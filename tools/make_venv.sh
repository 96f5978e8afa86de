#!/usr/bin/env bash
# Make a virtual environment on a bare Debian or Ubuntu: make_venv.sh DIRECTORY
# Debian packs `venv` apart from Python; where we may install it we do, elsewhere we say what to type.
set -euo pipefail

venv=${1:?usage: make_venv.sh DIRECTORY}
python=${PYTHON:-python3}

stop() {
    echo "make_venv: $1" >&2
    exit 1
}

command -v "$python" >/dev/null || stop "$python is not on the PATH; install Python 3.11 or newer (apt-get install python3)"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    stop "$("$python" --version) is too old: Python 3.11 or newer is needed; name one with PYTHON=python3.12 make …"

if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    if [ "$(id -u)" = 0 ]; then
        as_root=""
    elif sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    else
        stop "Python's venv module is missing; run: sudo apt-get install python3-venv"
    fi
    command -v apt-get >/dev/null || stop "Python's venv module is missing and there is no apt-get to install it with"
    version=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    $as_root apt-get update -qq
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$version" ||
        $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv
fi

"$python" -m venv "$venv"
