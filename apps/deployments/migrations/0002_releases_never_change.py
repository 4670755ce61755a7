"""The database itself refuses to change or remove a release, whoever asks.

SQLite loses a table's triggers when Django remakes the table: a later migration that alters Release makes them again.
"""

from django.db import migrations

SQLITE = [
    f"CREATE TRIGGER release_no_{verb.lower()} BEFORE {verb} ON deployments_release"
    " BEGIN SELECT RAISE(ABORT, 'a release is never changed or removed'); END"
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL = [
    "CREATE FUNCTION release_refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'a release is never changed or removed'; END $$",
    "CREATE TRIGGER release_no_change BEFORE UPDATE OR DELETE ON deployments_release"
    " FOR EACH ROW EXECUTE FUNCTION release_refuse()",
]
UNDO_SQLITE = ["DROP TRIGGER release_no_update", "DROP TRIGGER release_no_delete"]
UNDO_POSTGRESQL = ["DROP TRIGGER release_no_change ON deployments_release", "DROP FUNCTION release_refuse()"]


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    for statement in UNDO_SQLITE if schema_editor.connection.vendor == "sqlite" else UNDO_POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("deployments", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
