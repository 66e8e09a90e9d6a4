"""Dead letters, and who may look at them (see `paperdesk.roles`)."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from paperdesk import roles


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    roles.grant(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("results", "0001_durable_tables"),
        ("paperdesk", "0002_outbox_row"),
    ]

    operations = [
        migrations.CreateModel(
            name="DeadLetter",
            fields=[
                (
                    "id",
                    models.CharField(
                        help_text="Its place in the stream of dead letters.",
                        max_length=40,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("kind", models.CharField(max_length=16)),
                (
                    "key",
                    models.CharField(
                        help_text="The record in Redis, or the stream entry, that it is about.", max_length=512
                    ),
                ),
                ("table", models.CharField(help_text="The durable table that was meant.", max_length=64)),
                ("reason", models.TextField(help_text="Why it is no row, as of the last try.")),
                ("content", models.TextField(help_text="What was found, as it was.")),
                ("found_at", models.DateTimeField()),
                (
                    "state",
                    models.CharField(
                        choices=[("open", "open"), ("asked", "to be retried"), ("done", "done")],
                        default="open",
                        max_length=8,
                    ),
                ),
                ("outcome", models.TextField(default="", help_text="What became of it, once it is done.")),
                ("tries", models.IntegerField(default=0, help_text="How often it was tried again.")),
                ("tried_at", models.DateTimeField(help_text="When it was tried last.", null=True)),
                ("asked_by", models.CharField(default="", help_text="Who last asked for another try.", max_length=150)),
            ],
            options={
                "db_table": "dead_letter",
                "ordering": ("-found_at", "id"),
                "default_permissions": ("view",),
                "indexes": [
                    models.Index(fields=["-found_at", "id"], name="dead_letter_time"),
                    models.Index(fields=["state", "-found_at"], name="dead_letter_state"),
                    models.Index(fields=["key"], name="dead_letter_key"),
                ],
            },
        ),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
