from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("audit", "0008_indexes_for_writing"),
    ]

    operations = [
        migrations.AddField(
            model_name="auditlogentry",
            name="header_extra",
            field=models.JSONField(blank=True, null=True),
        ),
    ]
