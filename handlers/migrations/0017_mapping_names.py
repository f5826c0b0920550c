import django.core.validators
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("handlers", "0016_deleting_mappings")]

    operations = [
        migrations.AddField(
            model_name="handlermapping",
            name="name",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Optional. A configuration file finds the mapping by it, whatever else changes.",
                max_length=100,
                validators=[
                    django.core.validators.RegexValidator(
                        "^[\\w.-]*$", "Use letters, digits, dots, hyphens and underscores."
                    )
                ],
            ),
        ),
        migrations.AddConstraint(
            model_name="handlermapping",
            constraint=models.UniqueConstraint(
                condition=models.Q(("name", ""), _negated=True)
                & models.Q(("deleted_at__isnull", True)),
                fields=("listener", "name"),
                name="mapping_name_once_a_listener",
            ),
        ),
    ]
