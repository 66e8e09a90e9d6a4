"""`manage.py warehouse` over a real file and a real ClickHouse."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django import Settings

from paperdesk.embedded.ports import free_port
from results.stores.clickhouse import ClickHouse
from results.stores.gate import Gate
from results.stores.schema import TABLES


@pytest.fixture
def stores(settings: Settings, tmp_path: Path, fresh_clickhouse_url: str) -> Settings:
    """Settings that name an empty folder and an empty database."""
    settings.DUCKDB_PATH = tmp_path / "desk.duckdb"
    settings.CLICKHOUSE_URL = fresh_clickhouse_url
    settings.CLICKHOUSE_CLUSTER = ""
    return settings


def run(*arguments: str) -> tuple[int, str]:
    out = io.StringIO()
    try:
        call_command("warehouse", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


def run_json(*arguments: str) -> tuple[int, dict[str, Any]]:
    status, text = run(*arguments, "--json")
    return status, json.loads(text)


def alter(settings: Settings, statement: str) -> None:
    with Gate(settings.DUCKDB_PATH).write() as connection:
        connection.execute(statement).fetchall()


def test_migrate_makes_both_stores_and_a_second_time_finds_nothing_to_do(stores: Settings) -> None:
    status, text = run("migrate")
    assert status == 0
    assert "DuckDB: create trade_result_log\n" in text
    assert "ClickHouse: create view trade_result\n" in text
    assert run("migrate") == (0, "DuckDB: up to date\nClickHouse: up to date\n")
    status, report = run_json("status")
    assert (status, report["ok"], report["duckdb"]["seq"], report["clickhouse"]["seq"]) == (0, True, 0, 0)


def test_a_brief_migration_counts_what_it_made_and_is_silent_when_that_is_nothing(stores: Settings) -> None:
    status, text = run("migrate", "--brief")
    assert status == 0
    counts = {"DuckDB": len(TABLES) + 2, "ClickHouse": len(TABLES) + 1}  # their own: watermark, rejected entry; marks
    assert text == "".join(f"{store}: {count} tables made\n" for store, count in counts.items())
    assert run("migrate", "--brief") == (0, "")
    alter(stores, "ALTER TABLE trade_result_log DROP COLUMN commission")
    alter(stores, "DROP VIEW trade_result")
    assert run("migrate", "--brief") == (0, "DuckDB: 1 column added or changed\n")
    alter(stores, "DROP VIEW trade_result")
    assert run("migrate", "--brief") == (0, "DuckDB: 1 view made\n")


def test_dry_run_prints_the_same_plan_and_changes_nothing(stores: Settings) -> None:
    status, planned = run("migrate", "--dry-run")
    assert status == 0
    assert not stores.DUCKDB_PATH.exists()
    assert ClickHouse(stores.CLICKHOUSE_URL).plan().changes
    assert run("migrate") == (0, planned)


def test_status_before_migrate_is_not_well_and_lists_what_lacks(stores: Settings) -> None:
    status, report = run_json("status")
    assert (status, report["ok"]) == (1, False)
    assert "DuckDB: create trade_result_log" in report["duckdb"]["pending"]
    assert "ClickHouse: create trade_result_log" in report["clickhouse"]["pending"]


def test_clickhouse_away_leaves_duckdb_migrated_and_a_status_that_says_so(
    stores: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    stores.CLICKHOUSE_URL = f"http://127.0.0.1:{port}/desk"
    status, text = run("migrate")
    assert (status, text.splitlines()[-1].partition(":")[0]) == (1, "DuckDB")
    assert capsys.readouterr().err == f"not done: ClickHouse at 127.0.0.1:{port} is away: Connection refused\n"
    status, report = run_json("status")
    assert status == 1
    assert "is away" in capsys.readouterr().err
    assert report["duckdb"]["pending"] == []
    assert report["clickhouse"]["retryable"] is True


def test_no_clickhouse_at_all_is_said(stores: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    stores.CLICKHOUSE_URL = ""
    assert run("status")[0] == 1
    assert capsys.readouterr().err.endswith("CLICKHOUSE_URL is not set and no desk is running\n")


def test_new_column_is_added_to_both_and_shows_in_the_view(stores: Settings) -> None:
    run("migrate")
    alter(stores, "ALTER TABLE trade_result_log DROP COLUMN origin")
    store = ClickHouse(stores.CLICKHOUSE_URL)
    store.command("ALTER TABLE trade_result_log DROP COLUMN origin")
    assert run("migrate") == (
        0,
        "DuckDB: add column trade_result_log.origin\nDuckDB: create view trade_result\n"
        "ClickHouse: add column trade_result_log.origin\nClickHouse: create view trade_result\n",
    )
    assert store.rows("SELECT origin FROM trade_result") == []
    with Gate(stores.DUCKDB_PATH).read() as connection:
        assert connection.execute("SELECT origin FROM trade_result").fetchall() == []
    assert run("status")[0] == 0


def test_column_that_may_now_be_null_is_relaxed(stores: Settings) -> None:
    run("migrate")
    alter(stores, "ALTER TABLE trade_result_log ALTER COLUMN fees SET NOT NULL")
    store = ClickHouse(stores.CLICKHOUSE_URL)
    store.command("ALTER TABLE trade_result_log MODIFY COLUMN fees Decimal(38, 12) DEFAULT 0")
    status, text = run("migrate")
    assert status == 0
    assert "DuckDB: let trade_result_log.fees be null" in text
    assert "ClickHouse: let trade_result_log.fees be null" in text
    assert run("status")[0] == 0


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("ADD COLUMN surplus {text}", "trade_result_log.surplus is no longer in the models"),
        ("{change} symbol {type} {integer}", "and the models want"),
    ],
)
def test_anything_that_could_lose_rows_is_refused_and_nothing_is_changed(
    stores: Settings, statement: str, sentence: str
) -> None:
    run("migrate")
    in_duckdb = statement.format(text="VARCHAR", integer="BIGINT", change="ALTER COLUMN", type="TYPE")
    in_clickhouse = statement.format(text="String", integer="Int64", change="MODIFY COLUMN", type="")
    alter(stores, f"ALTER TABLE trade_result_log {in_duckdb}")
    alter(stores, "ALTER TABLE trade_result_log DROP COLUMN origin")
    ClickHouse(stores.CLICKHOUSE_URL).command(f"ALTER TABLE trade_result_log {in_clickhouse}")
    status, report = run_json("migrate")
    assert status == 1
    assert sentence in report["duckdb"]["error"]
    assert sentence in report["clickhouse"]["error"]
    with Gate(stores.DUCKDB_PATH).read() as connection:
        assert "origin" not in connection.sql("SELECT * FROM trade_result_log").columns
