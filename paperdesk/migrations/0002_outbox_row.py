"""The SQL outbox, and the permissions of the settings' tables (see `paperdesk.roles`)."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from paperdesk import roles


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    roles.grant(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    initial = True

    dependencies = [
        ("paperdesk", "0001_roles"),
        ("trading", "0003_settings"),
    ]

    operations = [
        migrations.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("table", models.CharField(max_length=64)),
                ("key", models.CharField(max_length=128)),
                ("version", models.BigIntegerField()),
                ("row", models.TextField(help_text="The canonical row, as the stream carries it: JSON.")),
                ("row_hash", models.BigIntegerField()),
                ("made_at", models.DateTimeField()),
                ("relayed_epoch", models.CharField(default="", max_length=36)),
            ],
            options={
                "db_table": "outbox_row",
                "ordering": ("id",),
                "default_permissions": ("view",),
                "indexes": [models.Index(fields=["relayed_epoch", "id"], name="outbox_row_relayed")],
                "constraints": [models.UniqueConstraint(fields=("table", "key", "version"), name="outbox_row_version")],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
