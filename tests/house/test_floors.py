"""The floors hold: by imports, and by everything else that names a room: foreign keys, migrations, texts."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.db.migrations.loader import MigrationLoader

from tests.house.floors import ROOT, contracts, floors, may_know

ROOMS = {name.removeprefix("apps."): name for name in settings.ROOMS}
NAMES_A_ROOM = re.compile(r"apps\.([a-z_]+)(\.|$)")


def test_every_contract_of_the_import_linter_is_kept():
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(contracts())} kept, 0 broken" in done.stdout


def test_the_contract_inside_rooms_names_every_room_of_django():
    inside = next(each for each in contracts() if "(models)" in each.get("layers", []))
    assert set(inside["containers"]) == set(settings.ROOMS)


def test_every_folder_in_apps_stands_on_a_floor():
    folders = {each.name for each in (ROOT / "apps").iterdir() if (each / "__init__.py").exists()}
    assert folders == floors().keys()


@pytest.mark.parametrize(
    ("room", "other", "may"),
    [("runs", "flows", True), ("runs", "runs", True), ("flows", "runs", False), ("flows", "environments", False)],
)
def test_a_room_knows_itself_and_those_below(room, other, may):
    assert may_know(room, other) is may


def test_foreign_keys_lead_down():
    """A foreign key that is written as a string is an import too."""
    crossing = [
        f"{model._meta.label}.{field.name} → {field.related_model._meta.label}"
        for room in ROOMS
        for model in apps.get_app_config(room).get_models(include_auto_created=True)
        for field in model._meta.get_fields()
        if field.is_relation and not field.auto_created and field.related_model is not None
        if field.related_model._meta.app_label in ROOMS and not may_know(room, field.related_model._meta.app_label)
    ]
    assert crossing == []


def test_the_audit_has_no_foreign_keys_at_all():
    """The record outlives what it speaks of."""
    fields = [field for model in apps.get_app_config("audit").get_models() for field in model._meta.get_fields()]
    assert [field.name for field in fields if field.is_relation] == []


def test_migrations_depend_on_lower_rooms_only(db):
    crossing = [
        f"{room}.{name} → {other}"
        for (room, name), migration in MigrationLoader(None).disk_migrations.items()
        if room in ROOMS
        for other, _ in (*migration.dependencies, *migration.run_before)
        if other in ROOMS and not may_know(room, other)
    ]
    assert crossing == []


def test_no_room_gets_a_model_by_name():
    """`get_model("runs.Run")` is an import that no linter sees. Migrations have no other way."""
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute | ast.Name)
        and (node.attr if isinstance(node, ast.Attribute) else node.id) in ("get_model", "get_registered_model")
    ]
    assert found == []


def test_texts_that_name_a_module_lead_down():
    """Such as the name of a Celery task or of a class in settings."""
    crossing = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.value!r}"
        for path in _sources()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (named := NAMES_A_ROOM.match(node.value)) and named[1] in floors()
        if not may_know(path.relative_to(ROOT / "apps").parts[0], named[1])
    ]
    assert crossing == []


def _sources() -> Iterator[Path]:
    for path in sorted((ROOT / "apps").rglob("*.py")):
        if "migrations" not in path.parts and len(path.relative_to(ROOT / "apps").parts) > 1:
            yield path
