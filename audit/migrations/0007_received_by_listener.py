from django.db import migrations, models

from audit.index_operations import AddIndexOnline


class Migration(migrations.Migration):
    # Writes go on while the index is built.
    atomic = False

    dependencies = [
        ("audit", "0006_work"),
        ("listeners", "0006_permissions_for_single_rows"),
    ]

    operations = [
        AddIndexOnline(
            model_name="auditlogentry",
            index=models.Index(
                fields=["listener", "received_at", "id"], name="entry_listener_received"
            ),
        ),
    ]
