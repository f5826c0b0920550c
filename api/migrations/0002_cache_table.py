from django.core.management import call_command
from django.db import migrations

TABLE = "cdc_cache"


def make(apps, schema_editor):
    """Where no Redis counts what web processes count together, this table does."""
    call_command("createcachetable", TABLE, database=schema_editor.connection.alias, verbosity=0)


def drop(apps, schema_editor):
    schema_editor.execute(f"DROP TABLE IF EXISTS {schema_editor.quote_name(TABLE)}")


class Migration(migrations.Migration):
    dependencies = [("api", "0001_initial")]

    operations = [migrations.RunPython(make, drop)]
