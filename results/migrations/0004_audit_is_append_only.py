"""The database refuses to change or remove an entry of the audit trail, whoever asks; and the roles of a review."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from paperdesk import roles

PROTECT = {
    "sqlite": [
        f"""
        CREATE TRIGGER audit_entry_no_{command.lower()} BEFORE {command} ON audit_entry
        BEGIN SELECT RAISE(ABORT, 'an entry of the audit trail is never changed or removed'); END
        """
        for command in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        """
        CREATE FUNCTION audit_entry_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'an entry of the audit trail is never changed or removed'; END $$
        """,
        """
        CREATE TRIGGER audit_entry_append_only BEFORE UPDATE OR DELETE ON audit_entry
        FOR EACH ROW EXECUTE FUNCTION audit_entry_refuse()
        """,
    ],
}
LEAVE_OPEN = {
    "sqlite": ["DROP TRIGGER audit_entry_no_update", "DROP TRIGGER audit_entry_no_delete"],
    "postgresql": ["DROP TRIGGER audit_entry_append_only ON audit_entry", "DROP FUNCTION audit_entry_refuse()"],
}


def protect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in PROTECT[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def leave_open(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    for statement in LEAVE_OPEN[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def grant(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    roles.grant(apps, schema_editor.connection.alias)


class Migration(migrations.Migration):
    dependencies = [("results", "0003_review"), ("trading", "0006_leg_out_origin")]

    operations = [
        migrations.RunPython(protect, leave_open),
        migrations.RunPython(grant, migrations.RunPython.noop),
    ]
