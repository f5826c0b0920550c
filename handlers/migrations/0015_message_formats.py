from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("handlers", "0014_next_of_a_chain")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="version",
            field=models.CharField(blank=True, db_default="", max_length=50),
        ),
        migrations.AddField(
            model_name="worker",
            name="message_format",
            field=models.PositiveSmallIntegerField(
                choices=[
                    (1, "one delivery a message: delivery_id"),
                    (2, "many deliveries a message: delivery_ids"),
                ],
                db_default=1,
            ),
        ),
        migrations.AddField(
            model_name="worker",
            name="told_at",
            field=models.DateTimeField(null=True),
        ),
    ]
