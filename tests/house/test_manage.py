"""The command line on a checkout whose database was never prepared."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_database_without_tables_is_told_in_words(tmp_path):
    done = subprocess.run(
        [sys.executable, "manage.py", "environment", "list"],
        cwd=ROOT,
        env={**os.environ, "FLOWCONTROL_DATA": str(tmp_path), "FLOWCONTROL_LOGS": str(tmp_path), "DATABASE_URL": ""},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Run `manage.py migrate`" in done.stderr
    assert "Traceback" not in done.stderr
