#!/bin/sh
# All tests, in as many processes as the machine has cores, four at most. What drives a browser comes by itself afterwards:
# the event loop of its driver would be in the way of others. With arguments: those go to pytest, and nothing else is done.
cd "$(dirname "$0")/.." || exit 2
if [ $# -gt 0 ]; then exec .venv/bin/python -m pytest "$@"; fi
bad=0
.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile --ignore tests/browser || bad=1
.venv/bin/python -m pytest tests/browser || bad=1
exit $bad
