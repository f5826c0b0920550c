from django.db import migrations, models

from audit.index_operations import AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    # Writes go on while the index is built.
    atomic = False

    dependencies = [("handlers", "0013_handover")]

    operations = [
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "blocked")),
                fields=["chain", "id"],
                name="delivery_next",
            ),
        ),
        RemoveIndexOnline(model_name="delivery", name="delivery_blocked"),
    ]
