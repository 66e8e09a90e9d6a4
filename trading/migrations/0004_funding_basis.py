"""How the rate of a funding payment was known."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trading", "0003_settings")]

    operations = [
        migrations.AddField(
            model_name="fundingpayment",
            name="basis",
            field=models.CharField(
                help_text="How rate and mark price were known: settled (told after the settlement), announced (the last "
                "word before it) or estimated (nobody heard it). Null in rows that are older than the column.",
                max_length=16,
                null=True,
            ),
        ),
    ]
