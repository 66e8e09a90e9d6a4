"""How many of its latest closed trades a portfolio's state lists."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("trading", "0004_funding_basis")]

    operations = [
        migrations.AddField(model_name=name, name="closed_trades_kept", field=models.BigIntegerField(default=100))
        for name in ("strategy", "historicalstrategy")
    ]
