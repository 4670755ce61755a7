"""Events are added at the end alone, and the head moves on with them, one at a time.

SQLite's INSERT OR REPLACE removes a row without asking the trigger that guards against removal: the trigger on adding
stops it.
"""

from django.db import migrations

SQLITE = [
    """CREATE TRIGGER audit_next_only BEFORE INSERT ON audit_auditevent
       WHEN NEW.seq IS NOT (SELECT seq + 1 FROM audit_audithead WHERE id = 1)
       BEGIN SELECT RAISE(ABORT, 'audit events are only added at the end'); END""",
    """CREATE TRIGGER audit_head_forward BEFORE UPDATE ON audit_audithead
       WHEN NEW.id IS NOT OLD.id OR NEW.seq IS NOT OLD.seq + 1
         OR NEW.digest IS NOT (SELECT digest FROM audit_auditevent WHERE seq = NEW.seq)
       BEGIN SELECT RAISE(ABORT, 'the audit head only follows the newest event'); END""",
    """CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_audithead
       BEGIN SELECT RAISE(ABORT, 'the audit head is never removed'); END""",
    """CREATE TRIGGER audit_one_head BEFORE INSERT ON audit_audithead
       WHEN EXISTS (SELECT 1 FROM audit_audithead)
       BEGIN SELECT RAISE(ABORT, 'there is one audit head'); END""",
]
POSTGRESQL = [
    """CREATE FUNCTION audit_next_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.seq IS DISTINCT FROM (SELECT seq + 1 FROM audit_audithead WHERE id = 1) THEN
           RAISE EXCEPTION 'audit events are only added at the end';
         END IF;
         RETURN NEW;
       END $$""",
    "CREATE TRIGGER audit_next_only BEFORE INSERT ON audit_auditevent FOR EACH ROW EXECUTE FUNCTION audit_next_only()",
    """CREATE FUNCTION audit_head_forward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
         IF NEW.id IS DISTINCT FROM OLD.id OR NEW.seq IS DISTINCT FROM OLD.seq + 1
           OR NEW.digest IS DISTINCT FROM (SELECT digest FROM audit_auditevent WHERE seq = NEW.seq) THEN
           RAISE EXCEPTION 'the audit head only follows the newest event';
         END IF;
         RETURN NEW;
       END $$""",
    "CREATE TRIGGER audit_head_forward BEFORE UPDATE ON audit_audithead FOR EACH ROW EXECUTE FUNCTION audit_head_forward()",
    "CREATE TRIGGER audit_head_stays BEFORE DELETE ON audit_audithead FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER audit_head_not_emptied BEFORE TRUNCATE ON audit_audithead FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    "ALTER TABLE audit_audithead ADD CONSTRAINT audit_one_head CHECK (id = 1)",
]


def guard(apps, schema_editor):
    for statement in SQLITE if schema_editor.connection.vendor == "sqlite" else POSTGRESQL:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("audit", "0002_append_only")]
    operations = [migrations.RunPython(guard)]  # no way back: the record stays a record
