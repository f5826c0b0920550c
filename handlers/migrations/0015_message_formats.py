from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("handlers", "0014_next_of_a_chain")]

    operations = [
        migrations.AddField(
            model_name="worker",
            name="version",
            field=models.CharField(max_length=50),
            preserve_default=False,
        ),
    ]
