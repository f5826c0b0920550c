import django.db.models.deletion
from django.db import migrations, models

from audit.index_operations import AddIndexOnline, AlterFieldAtOnce


class Migration(migrations.Migration):
    # Writes go on while the index is built.
    atomic = False

    dependencies = [
        ("audit", "0008_indexes_for_writing"),
        ("handlers", "0011_bundles"),
    ]

    operations = [
        AddIndexOnline(
            model_name="deliveryattempt",
            index=models.Index(
                condition=models.Q(("redelivery__isnull", False)),
                fields=["redelivery"],
                name="attempt_redelivered",
            ),
        ),
        AlterFieldAtOnce(
            model_name="deliveryattempt",
            name="redelivery",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="attempts",
                to="handlers.redelivery",
            ),
        ),
        AlterFieldAtOnce(
            model_name="deliveryattempt",
            name="delivery",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="attempt_log",
                to="handlers.delivery",
            ),
        ),
        AlterFieldAtOnce(
            model_name="delivery",
            name="redelivery",
            field=models.ForeignKey(
                blank=True,
                db_index=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="deliveries",
                to="handlers.redelivery",
            ),
        ),
        AlterFieldAtOnce(
            model_name="delivery",
            name="entry",
            field=models.ForeignKey(
                db_index=False,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="deliveries",
                to="audit.auditlogentry",
            ),
        ),
    ]
