"""The origin of leg-outs: those of other programs are kept too (ruling 22)."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("trading", "0005_closed_trades_kept"),
    ]

    operations = [
        migrations.AddField(
            model_name="legoutevent",
            name="origin",
            field=models.CharField(help_text="foreign; null for the engine's own.", max_length=16, null=True),
        ),
    ]
