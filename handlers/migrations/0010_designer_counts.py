from django.db import migrations, models

from audit.index_operations import AddIndexOnline


class Migration(migrations.Migration):
    # Writes go on while the index is built.
    atomic = False

    dependencies = [
        ("handlers", "0009_redelivered_index"),
    ]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["blocked", "retrying", "dead"])),
                fields=["mapping", "state", "-id"],
                name="delivery_of_mapping",
            ),
        ),
    ]
