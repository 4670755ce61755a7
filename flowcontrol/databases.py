"""DATABASE_URL to Django's settings: SQLite by default, PostgreSQL when asked."""

from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

# Immediate transactions and WAL: several processes write without "database is locked".
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL;PRAGMA synchronous=NORMAL;PRAGMA busy_timeout=20000;",
}


def database(url: str, data: Path, password: str = "") -> dict[str, Any]:
    """Settings of the database at `url`; an empty url is `data/db.sqlite3`. `password` is of a server whose url has none."""
    if not url:
        return sqlite(data / "db.sqlite3")
    parts = urlsplit(url)
    if parts.scheme == "sqlite":
        return sqlite(Path(unquote(parts.path)))
    if parts.scheme in {"postgres", "postgresql"}:
        return {
            "ENGINE": "django_prometheus.db.backends.postgresql",
            "NAME": unquote(parts.path.lstrip("/")),
            "USER": unquote(parts.username or ""),
            "PASSWORD": unquote(parts.password or "") or password,
            "HOST": unquote(parts.hostname or ""),
            "PORT": str(parts.port or ""),
            "CONN_MAX_AGE": 60,
            "CONN_HEALTH_CHECKS": True,
        }
    raise ImproperlyConfigured(
        f"DATABASE_URL begins with {parts.scheme!r}. Write sqlite:////path/file.sqlite3 or postgres://user:password@host/name."
    )


def sqlite(path: Path) -> dict[str, Any]:
    return {"ENGINE": "django_prometheus.db.backends.sqlite3", "NAME": str(path), "OPTIONS": SQLITE_OPTIONS}


def read_only(path: Path) -> dict[str, Any]:
    """A SQLite file of others, to look into: it is not made where it is not there, and never written. Whoever holds it is
    waited for two seconds. Tests make no database for it."""
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": f"{path.absolute().as_uri()}?mode=ro",
        "OPTIONS": {"uri": True, "timeout": 2},
        "TEST": {"MIRROR": "default"},
    }
