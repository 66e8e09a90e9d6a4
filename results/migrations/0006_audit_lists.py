"""Indexes of the audit trail's list; and two more ways to change the trail that the database refuses: on PostgreSQL
TRUNCATE, on SQLite an INSERT OR REPLACE, which removes the row of before without asking a trigger for DELETE."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

PROTECT = {
    "sqlite": """
        CREATE TRIGGER audit_entry_no_replace BEFORE INSERT ON audit_entry
        WHEN EXISTS (SELECT 1 FROM audit_entry WHERE number = NEW.number)
        BEGIN SELECT RAISE(ABORT, 'an entry of the audit trail is never changed or removed'); END
        """,
    "postgresql": """
        CREATE TRIGGER audit_entry_no_truncate BEFORE TRUNCATE ON audit_entry
        FOR EACH STATEMENT EXECUTE FUNCTION audit_entry_refuse()
        """,
}
LEAVE_OPEN = {
    "sqlite": "DROP TRIGGER audit_entry_no_replace",
    "postgresql": "DROP TRIGGER audit_entry_no_truncate ON audit_entry",
}


def protect(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute(PROTECT[schema_editor.connection.vendor])


def leave_open(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    schema_editor.execute(LEAVE_OPEN[schema_editor.connection.vendor])


class Migration(migrations.Migration):
    dependencies = [("results", "0005_a_proposal_ends_by_itself")]

    operations = [
        migrations.AlterModelOptions(
            "auditentry",
            {"default_permissions": ("view",), "ordering": ("-number",), "verbose_name_plural": "audit entries"},
        ),
        migrations.AddIndex("auditentry", models.Index(fields=["action", "number"], name="audit_action")),
        migrations.AddIndex("auditentry", models.Index(fields=["at", "number"], name="audit_at")),
        migrations.RunPython(protect, leave_open),
    ]
