#!/bin/sh
# Make .venv with exactly the locked packages. Safe to run again, and after it was killed halfway:
# the stamp is written last, and pip brings a half-filled folder to the locked state.
set -eu
cd "$(dirname "$0")/.."

fits() { "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' >/dev/null 2>&1; }

find_python() {
    if command -v uv >/dev/null 2>&1; then
        found=$(uv python find 2>/dev/null || true)
        if [ -n "$found" ] && fits "$found"; then echo "$found"; return; fi
    fi
    for name in "${PYTHON:-}" python3.13 python3.12 python3.14 python3 python \
        "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python /opt/homebrew/bin/python3 /usr/local/bin/python3; do
        if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1 && fits "$name"; then echo "$name"; return; fi
    done
}

if ! [ -x .venv/bin/python ] || ! fits .venv/bin/python; then
    python=$(find_python)
    if [ -z "$python" ]; then
        cat >&2 <<'HELP'
Flow Control needs Python 3.12 or newer (with its venv module), and none was found.
  Debian, Ubuntu   apt install python3 python3-venv
  macOS            brew install python@3.13
  anywhere         install uv, then: uv python install 3.13
If it stands in an unusual place: PYTHON=/path/to/python3.13 make setup
HELP
        exit 1
    fi
    echo "making .venv with $("$python" --version) ($python)"
    rm -rf .venv
    "$python" -m venv .venv
fi

echo "installing the locked packages …"
if command -v uv >/dev/null 2>&1; then
    uv pip sync --quiet --require-hashes --python .venv/bin/python requirements-dev.lock
else
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
fi
touch .venv/.synced
echo "set up."
