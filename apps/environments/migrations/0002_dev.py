"""`dev` is there from the start; the others come when somebody makes them."""

from django.db import migrations


def make_dev(apps, schema_editor):
    apps.get_model("environments", "Environment").objects.get_or_create(
        slug="dev", defaults={"name": "Development", "position": 0}
    )


class Migration(migrations.Migration):
    dependencies = [("environments", "0001_initial")]
    operations = [migrations.RunPython(make_dev, migrations.RunPython.noop)]
