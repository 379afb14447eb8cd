#!/bin/sh
# Says what is missing for `make`, and how to get it. Usage: check-python.sh PYTHON | check-python.sh --pip-failed
set -eu

complain() {
    printf 'streamgauge: %s\n' "$1" >&2
    shift
    printf '  %s\n' "$@" >&2
    exit 1
}

if [ "$1" = --pip-failed ]; then
    complain "pip could not install the libraries; what it said stands above." \
        "It needs a package index: set PIP_INDEX_URL or HTTPS_PROXY where the public one cannot be reached," \
        "or PIP_FIND_LINKS to a folder of wheels. Then run the same make command again."
fi

python=$1
command -v "$python" >/dev/null 2>&1 || complain "there is no '$python' here; Python 3.11 or newer is needed." \
    "Debian, Ubuntu: apt-get install python3 python3-venv    Fedora: dnf install python3" \
    "Where it has another name: make PYTHON=/path/to/python3.11 ..."

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || complain \
    "'$python' is $("$python" --version 2>&1); 3.11 or newer is needed." \
    "Where a newer one is installed, name it: make PYTHON=python3.11 ..."

"$python" -c 'import venv, ensurepip' 2>/dev/null || complain \
    "'$python' cannot make an environment: its modules venv and ensurepip are missing." \
    "Debian, Ubuntu: apt-get install python3-venv"
