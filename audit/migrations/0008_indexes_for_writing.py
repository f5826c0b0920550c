import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0007_received_by_listener"),
        ("listeners", "0006_permissions_for_single_rows"),
    ]

    operations = [
        migrations.AlterField(
            model_name="auditlogentry",
            name="listener",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="entries",
                to="listeners.listener",
            ),
        ),
    ]
