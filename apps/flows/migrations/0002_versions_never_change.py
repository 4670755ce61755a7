"""The database itself refuses to change or remove a version, whoever asks.

SQLite loses a table's triggers when Django remakes the table: a later migration that alters FlowVersion makes them again.
"""

from django.db import migrations

SQLITE = [
    f"CREATE TRIGGER flowversion_no_{verb.lower()} BEFORE {verb} ON flows_flowversion"
    " BEGIN SELECT RAISE(ABORT, 'versions of flows are never changed or removed'); END"
    for verb in ("UPDATE", "DELETE")
]
POSTGRESQL = [
    "CREATE FUNCTION flowversion_refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'versions of flows are never changed or removed'; END $$",
    "CREATE TRIGGER flowversion_no_change BEFORE UPDATE OR DELETE ON flows_flowversion"
    " FOR EACH ROW EXECUTE FUNCTION flowversion_refuse()",
]
UNDO_SQLITE = ["DROP TRIGGER flowversion_no_update", "DROP TRIGGER flowversion_no_delete"]
UNDO_POSTGRESQL = ["DROP TRIGGER flowversion_no_change ON flows_flowversion", "DROP FUNCTION flowversion_refuse()"]


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    for statement in UNDO_SQLITE if schema_editor.connection.vendor == "sqlite" else UNDO_POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("flows", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
