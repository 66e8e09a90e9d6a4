"""The Django database's part of an archive.

    SQLite       paperdesk.sqlite3, by SQLite's own backup of one moment, beside whoever writes
    PostgreSQL   one file a table, as COPY writes it, all of one moment (REPEATABLE READ)

A restored PostgreSQL is first migrated to exactly the migrations of the archive, so that the columns are the same.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.core.management.color import no_style
from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from psycopg import sql

from paperdesk.archive.errors import BackupRefused, RestoreRefused

SQLITE, POSTGRES = "sqlite", "postgresql"
SQLITE_FILE = "paperdesk.sqlite3"
CHUNK_BYTES = 1 << 20
MIGRATIONS = "django_migrations"
EMPTY_OF = ("auth_user", "follower_watermark", "outbox_row")  # a migrated database that nobody has used has none


def sqlite_path() -> Path:
    """Where the SQLite database is, or would be."""
    return Path(str(connection.settings_dict["NAME"]))


def copy_database(folder: Path) -> dict[str, Any]:
    """Copy the database into `folder`; what the manifest says of it. Raises BackupRefused, django.db.DatabaseError."""
    folder.mkdir(parents=True)
    if connection.vendor == SQLITE:
        return {"kind": SQLITE, "version": sqlite3.sqlite_version, "migrations": _copy_sqlite(folder / SQLITE_FILE)}
    if connection.vendor != POSTGRES:
        raise BackupRefused(f"the database is {connection.display_name}; SQLite and PostgreSQL can be backed up")
    return {"kind": POSTGRES, **_copy_postgres(folder)}


def check_database(about: dict[str, Any]) -> None:
    """Raises RestoreRefused if the database of the archive does not fit here, or there is one already."""
    if about["kind"] != connection.vendor:
        raise RestoreRefused(
            f"the archive holds a database of {about['kind']}, and this desk's is one of {connection.vendor}; "
            "DATABASE_URL decides which"
        )
    known = set(MigrationLoader(None, ignore_no_migrations=True).disk_migrations)
    unknown = sorted({(app, name) for app, name in about["migrations"]} - known)
    if unknown:
        shown = ", ".join(f"{app}.{name}" for app, name in unknown[:3])
        raise RestoreRefused(f"the archive is of a later version of PaperDesk: {shown} is not known here")
    if connection.vendor == SQLITE:
        if sqlite_path().exists():
            raise RestoreRefused(f"{sqlite_path()} exists already; restore into an empty folder (--data)")
    elif used := _used_table():
        raise RestoreRefused(f"the database {connection.settings_dict['NAME']} is in use: {used} has rows")


@contextlib.contextmanager
def restored_postgres(folder: Path, about: dict[str, Any]) -> Iterator[None]:
    """Load PostgreSQL's tables; they are committed when the `with` block has ended well, else all is as before."""
    MigrationExecutor(connection).migrate([(app, name) for app, name in about["migrations"]])
    with transaction.atomic(), connection.cursor() as cursor:
        tables = dict(about["columns"])
        filled = [name for name in tables if _has_rows(cursor, name)]  # by migrations; the audit trail refuses this
        cursor.execute(sql.SQL("TRUNCATE {} CASCADE").format(sql.SQL(", ").join(map(sql.Identifier, filled))))
        for name, columns in tables.items():
            with open(folder / name, "rb") as source, cursor.copy(_copy_statement(name, columns, "FROM STDIN")) as copy:
                while chunk := source.read(CHUNK_BYTES):
                    copy.write(chunk)
        for statement in connection.ops.sequence_reset_sql(no_style(), apps.get_models(include_auto_created=True)):
            cursor.execute(statement)
        yield


def _copy_sqlite(target: Path) -> list[tuple[str, str]]:
    live, made = sqlite3.connect(sqlite_path()), sqlite3.connect(target)
    with contextlib.closing(live), contextlib.closing(made):
        live.backup(made)  # in one go: in slices it would begin anew with every write of others
        found = made.execute(f"SELECT app, name FROM {MIGRATIONS} ORDER BY id").fetchall()
        made.execute("PRAGMA journal_mode=DELETE")
        faults = made.execute("PRAGMA quick_check").fetchall()
    if faults != [("ok",)]:
        raise BackupRefused(f"{sqlite_path()} is damaged: {faults[0][0]}")
    return found


def _copy_postgres(folder: Path) -> dict[str, Any]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        cursor.execute("SHOW server_version")
        version = cursor.fetchone()[0]
        cursor.execute(f"SELECT app, name FROM {MIGRATIONS} ORDER BY id")
        migrations = cursor.fetchall()
        names = sorted(connection.introspection.table_names(cursor))
        columns = {
            name: [each.name for each in connection.introspection.get_table_description(cursor, name)] for name in names
        }
        for name in names:
            with (
                open(folder / name, "wb") as target,
                cursor.copy(_copy_statement(name, columns[name], "TO STDOUT")) as copy,
            ):
                for chunk in copy:
                    target.write(chunk)
    return {"version": version, "migrations": migrations, "columns": columns}


def _copy_statement(name: str, columns: list[str], direction: str) -> sql.Composed:
    listed = sql.SQL(", ").join(map(sql.Identifier, columns))
    return sql.SQL("COPY {} ({}) " + direction).format(sql.Identifier(name), listed)


def _used_table() -> str:
    """The name of a table with rows of a desk; "" for a database that nobody has used."""
    with connection.cursor() as cursor:
        for name in set(EMPTY_OF) & set(connection.introspection.table_names(cursor)):
            if _has_rows(cursor, name):
                return name
    return ""


def _has_rows(cursor: Any, table: str) -> bool:
    cursor.execute(sql.SQL("SELECT 1 FROM {} LIMIT 1").format(sql.Identifier(table)))
    return cursor.fetchone() is not None
