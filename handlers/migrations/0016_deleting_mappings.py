from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("handlers", "0015_message_formats")]

    operations = [
        migrations.AddField(
            model_name="handlermapping",
            name="deleted_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
        migrations.AddField(
            model_name="handlermapping",
            name="emptied_at",
            field=models.DateTimeField(blank=True, editable=False, null=True),
        ),
    ]
