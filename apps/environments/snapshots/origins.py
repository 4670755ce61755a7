"""What of an environment is state on this machine, and what of the portal is kept with it without being its state."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from apps.environments import variables
from apps.environments.containers.settings_file import read_settings
from apps.environments.models import Environment
from apps.environments.snapshots import manifest
from apps.environments.stages import own, stack


def own_data(environment: Environment) -> Path | None:
    """The data folder that is this environment's alone, with its bridge: ours where it is the portal's own environment,
    that of its stack where it is one of Flow Control's. None for others."""
    if environment.slug == settings.ENVIRONMENT:
        return Path(settings.DATA)
    if not environment.runs_ourselves or environment.engine_url or environment.slug == "dev":
        return None
    path = stack.settings_file(environment)
    known = (read_settings(path) if path and path.exists() else {}) | variables.plain(environment)
    found = own.state_folder(known) / "data"
    return found if found.is_dir() else None


def workspace(environment: Environment) -> Path:
    """The folder of its flows; it may not be there."""
    data = own_data(environment)
    if data is None or data == Path(settings.DATA):
        return Path(settings.WORKSPACES) / environment.slug
    return data / "workspaces" / environment.slug


def ledger(environment: Environment) -> Path | None:
    """The portal's own database where it is a file, and this is the portal's own environment."""
    if environment.slug != settings.ENVIRONMENT or connection.vendor != "sqlite":
        return None
    name = str(connection.settings_dict["NAME"])
    return None if "memory" in name else Path(name)


def schemas() -> dict[str, str]:
    """The newest migration of each room: of which code the ledger is."""
    rows = MigrationRecorder.Migration.objects.order_by("app", "id").values_list("app", "name")
    return {str(app): str(name) for app, name in rows}


def configuration(environment: Environment, images: dict[str, str]) -> dict[str, Any]:
    """Names and fingerprints: whether something differs can be said later, what it is cannot."""
    shown = [
        {
            "name": each.name,
            "reference": each.reference,
            "fingerprint": manifest.keyed(each.name, each.value.encode()) if not each.reference else "",
        }
        for each in variables.variables(environment)
    ]
    hidden = [
        {"name": each.name, "version": each.version, "fingerprint": each.fingerprint}
        for each in variables.secrets(environment)
    ]
    path = stack.compose_file(environment)
    return {
        "version": 1,
        "environment": environment.slug,
        "project": environment.project_name,
        "compose_file": str(path),
        "compose_file_sha256": manifest.hash_file(path)[1] if path.is_file() else "",
        "images": images,
        "variables": shown,
        "secrets": hidden,
    }
