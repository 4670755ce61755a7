"""Processes of their own that share the test's database and workspaces."""

import os
import time
from pathlib import Path

from django.conf import settings
from django.db import connection

ROOT = Path(__file__).resolve().parents[2]


def portal_environment(data, **more):
    """The environment of a process of the portal whose data folder is `data`, on this test's database."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite://{database['NAME']}"
    else:
        account = f"{database['USER']}:{database['PASSWORD']}@{database['HOST']}:{database['PORT']}"
        url = f"postgres://{account}/{database['NAME']}"
    return {
        **os.environ,
        "DATABASE_URL": url,
        "FLOWCONTROL_DATA": str(data),
        "FLOWCONTROL_LOGS": str(data / "logs"),
        "AUDIT_KEY": settings.AUDIT_KEY,
        "DJANGO_SETTINGS_MODULE": "flowcontrol.settings",
        **more,
    }


def wait_for(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
