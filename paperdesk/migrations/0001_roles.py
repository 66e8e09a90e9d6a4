"""The groups analyst, staff and administrator, with their permissions (see `paperdesk.roles`)."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from paperdesk import roles


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    roles.grant(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
        ("trading", "0001_durable_tables"),
        ("results", "0001_durable_tables"),
    ]

    operations = [migrations.RunPython(grant, migrations.RunPython.noop)]
