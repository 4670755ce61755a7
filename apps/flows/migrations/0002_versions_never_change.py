"""The database itself refuses to change a version, whoever asks.

SQLite loses a table's triggers when Django remakes the table: a later migration that alters FlowVersion makes it again.
"""

from django.db import migrations

SQLITE = [
    "CREATE TRIGGER flowversion_no_update BEFORE UPDATE ON flows_flowversion"
    " BEGIN SELECT RAISE(ABORT, 'versions of flows are never changed'); END",
]
POSTGRESQL = [
    "CREATE FUNCTION flowversion_refuse() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN RAISE EXCEPTION 'versions of flows are never changed'; END $$",
    "CREATE TRIGGER flowversion_no_update BEFORE UPDATE ON flows_flowversion"
    " FOR EACH ROW EXECUTE FUNCTION flowversion_refuse()",
]


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


def unguard(apps, schema_editor):
    table = "" if schema_editor.connection.vendor == "sqlite" else " ON flows_flowversion"
    schema_editor.execute(f"DROP TRIGGER flowversion_no_update{table}")
    if table:
        schema_editor.execute("DROP FUNCTION flowversion_refuse()")


class Migration(migrations.Migration):
    dependencies = [("flows", "0001_initial")]
    operations = [migrations.RunPython(guard, unguard)]
