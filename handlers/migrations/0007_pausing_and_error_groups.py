from django.db import migrations, models

from audit.index_operations import AddFieldAtOnce, AddIndexOnline, RemoveIndexOnline


class Migration(migrations.Migration):
    # Writes go on while the indexes are built. What an older process writes meanwhile has the
    # columns' defaults.
    atomic = False

    dependencies = [
        ("audit", "0005_operator_actions"),
        ("handlers", "0006_redeliver_permission"),
    ]

    operations = [
        AddFieldAtOnce(
            model_name="handlermapping",
            name="paused_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        AddFieldAtOnce(
            model_name="handlermapping",
            name="paused_by",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=150),
        ),
        AddFieldAtOnce(
            model_name="handlermapping",
            name="pause_reason",
            field=models.TextField(blank=True, db_default="", editable=False),
        ),
        AddFieldAtOnce(
            model_name="delivery",
            name="paused",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        AddFieldAtOnce(
            model_name="delivery",
            name="error_group",
            field=models.CharField(blank=True, db_default="", editable=False, max_length=16),
        ),
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state", "ready")),
                fields=["paused", "id"],
                name="delivery_waiting",
            ),
        ),
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("paused", False), ("state", "retrying")),
                fields=["due_at"],
                name="delivery_retry",
            ),
        ),
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("paused", True)),
                fields=["mapping", "id"],
                name="delivery_paused",
            ),
        ),
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(
                condition=models.Q(("state__in", ["dead", "retrying"])),
                fields=["state", "error_group", "-id", "started_at", "halts"],
                name="delivery_error_group",
            ),
        ),
        AddIndexOnline(
            model_name="delivery",
            index=models.Index(fields=["created_at", "id"], name="delivery_created"),
        ),
        RemoveIndexOnline(model_name="delivery", name="delivery_ready"),
        RemoveIndexOnline(model_name="delivery", name="delivery_due"),
    ]
