"""The ORM's database: SQLite by default, PostgreSQL by DATABASE_URL; both by the same migrations."""

import socket
from collections.abc import Mapping

import pytest
from django.db import connection, transaction

from tests.desk.typed import manage

TABLES = "paper_trade leg_out_event daily_metrics portfolio_snapshot trade_result result_metrics trade_reconciliation"
LIST_TABLES = "from django.db import connection; print(*connection.introspection.table_names())"
WORDS = ("shell", "--no-imports", "-c")


@pytest.mark.postgres
def test_the_migrations_run_on_a_real_postgresql(bare_environment: Mapping[str, str], postgres_url: str) -> None:
    environment = {**bare_environment, "DATABASE_URL": postgres_url}
    migrated = manage(environment, "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    assert set(TABLES.split()) <= set(manage(environment, *WORDS, LIST_TABLES).stdout.split())


def test_a_postgresql_that_never_answers_is_not_waited_for(bare_environment: Mapping[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgres://me@127.0.0.1:{mute.getsockname()[1]}/desk"
        refused = manage({**bare_environment, "DATABASE_URL": url}, "migrate", "--check")
    assert refused.returncode == 1
    assert "timeout expired" in refused.stderr


def test_the_migrations_run_on_sqlite(bare_environment: Mapping[str, str]) -> None:
    migrated = manage(bare_environment, "migrate", "--verbosity", "0")
    assert migrated.returncode == 0, migrated.stderr
    assert set(TABLES.split()) <= set(manage(bare_environment, *WORDS, LIST_TABLES).stdout.split())


def test_models_and_migrations_agree(bare_environment: Mapping[str, str]) -> None:
    compared = manage(bare_environment, "makemigrations", "--check", "--dry-run")
    assert compared.returncode == 0, compared.stdout


def test_a_database_of_another_kind_is_refused_without_its_password(bare_environment: Mapping[str, str]) -> None:
    refused = manage({**bare_environment, "DATABASE_URL": "mysql://me:secret@host/db"}, "check")
    assert refused.returncode == 1
    assert "DATABASE_URL is 'mysql://me:***@host/db'; it must be sqlite:///FILE or postgres://" in refused.stderr


@pytest.mark.django_db(transaction=True)
def test_sqlite_writes_ahead_waits_and_locks_at_begin() -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        answers = [cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "busy_timeout")]
        assert answers == ["wal", 20_000]
        assert connection.transaction_mode == "IMMEDIATE"
