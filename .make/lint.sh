#!/bin/sh
# Run every check and report them all; the exit code is 1 when one of them complained.
cd "$(dirname "$0")/.." || exit 2
bad=0
check() { printf '%-28s' "$1"; shift; if out=$("$@" 2>&1); then echo ok; else echo FAILED; echo "$out"; bad=1; fi; }

check "style (ruff)" .venv/bin/ruff check .
check "layout (ruff format)" .venv/bin/ruff format --check .
# Without its cache: the Django plugin then and now loses related managers from it.
check "types (mypy)" .venv/bin/mypy --no-incremental
check "floors (import-linter)" .venv/bin/lint-imports
check "migrations complete" .venv/bin/python manage.py makemigrations --check --dry-run
exit $bad
