"""Django, Arrow, DuckDB and ClickHouse compared, and the DDL of a cluster as text."""

import pyarrow
import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.db import models
from django.test.utils import isolate_apps

from paperdesk.born import BornModel
from paperdesk.mirror import INGESTION_COLUMNS, MirroredModel
from results.domain.canonical import Column
from results.stores.clickhouse import ClickHouse
from results.stores.clickhouse_ddl import clickhouse_add_column, clickhouse_ddl, clickhouse_marks_ddl
from results.stores.gate import Gate
from results.stores.schema import LOG_COLUMNS, TABLES, Table, arrow_schema, table_of

DOCUMENTED = {"trade_result", "result_metrics", "trade_reconciliation"}
OURS = {
    "paper_trade",
    "leg_out_event",
    "daily_metrics",
    "portfolio_snapshot",
    "funding_payment",
    "order_fill",
    "shadow_fill",
}
BORN = {
    "venue", "instrument", "strategy", "reconciliation_tolerance", "review_case", "review", "review_comment",
    "trade_adjustment", "audit_entry",
}  # fmt: skip
IN_ALL_STORES = {
    # Django, Arrow, DuckDB, ClickHouse
    "UUIDField": ("string", "UUID", "UUID"),
    "CharField": ("string", "VARCHAR", "String"),
    "TextField": ("string", "VARCHAR", "String"),
    "ExactDecimalField": ("decimal128(38, 12)", "DECIMAL(38,12)", "Decimal(38, 12)"),
    "BigIntegerField": ("int64", "BIGINT", "Int64"),
    "IntegerField": ("int64", "BIGINT", "Int64"),
    "DateTimeField": ("timestamp[us]", "TIMESTAMP", "DateTime64(6, 'UTC')"),
    "DateField": ("date32[day]", "DATE", "Date32"),
    "BooleanField": ("bool", "BOOLEAN", "Bool"),
    "JsonTextField": ("string", "VARCHAR", "String"),
}
Described = dict[str, list[tuple[str, str, str, str, bool]]]


def of_django() -> Described:
    """Table -> name, Arrow type, DuckDB type, ClickHouse type, nullable, of the models' own columns."""
    return {
        model._meta.db_table: [
            (field.column, *IN_ALL_STORES[type(field).__name__], field.null)
            for field in model._meta.local_fields
            if field.column not in INGESTION_COLUMNS
        ]
        for model in apps.get_models()
        if issubclass(model, MirroredModel | BornModel)
    }


def own_columns(found: list[tuple[str, str, bool]]) -> list[tuple[str, str, bool]]:
    assert [name for name, _, _ in found[-3:]] == [column.name for column in LOG_COLUMNS]
    return found[:-3]


def test_every_documented_table_is_there() -> None:
    assert TABLES.keys() >= DOCUMENTED | OURS | BORN
    assert {name for name, table in TABLES.items() if table.is_born} == BORN
    assert len(TABLES) == len(list(TABLES)) == len(of_django())


def test_arrow_has_the_models_columns() -> None:
    wanted = {name: [(column[0], column[1], column[4]) for column in columns] for name, columns in of_django().items()}
    found = {
        table.name: own_columns([(field.name, str(field.type), field.nullable) for field in arrow_schema(table)])
        for table in TABLES.values()
    }
    assert found == wanted


def test_duckdb_has_the_models_columns(gate: Gate) -> None:
    wanted = {name: [(column[0], column[2], column[4]) for column in columns] for name, columns in of_django().items()}
    with gate.read() as connection:
        rows = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable FROM duckdb_columns() "
            "WHERE table_name LIKE '%_log' AND NOT internal ORDER BY table_name, column_index"
        ).fetchall()
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, *column in rows:
        found.setdefault(table.removesuffix("_log"), []).append(tuple(column))
    assert {name: own_columns(columns) for name, columns in found.items()} == wanted


def test_clickhouse_has_the_models_columns(clickhouse: ClickHouse) -> None:
    wanted = {
        name: [(column[0], f"Nullable({column[3]})" if column[4] else column[3], column[4]) for column in columns]
        for name, columns in of_django().items()
    }
    found: dict[str, list[tuple[str, str, bool]]] = {}
    for table, name, kind in clickhouse.rows(
        "SELECT table, name, type FROM system.columns WHERE database = currentDatabase() AND table LIKE '%_log' "
        "ORDER BY table, position"
    ):
        found.setdefault(table.removesuffix("_log"), []).append((name, kind, kind.startswith("Nullable")))
    assert {name: own_columns(columns) for name, columns in found.items()} == wanted


def test_view_has_the_columns_of_its_log(gate: Gate, clickhouse: ClickHouse) -> None:
    for table in TABLES.values():
        wanted = [column.name for column in table.log_columns]
        with gate.read() as connection:
            assert connection.sql(f"SELECT * FROM {table.name}").columns == wanted
        assert clickhouse.newest(table).column_names == wanted


@isolate_apps("results")
def test_field_that_no_store_knows_is_refused_by_name() -> None:
    class Strange(MirroredModel):
        id = models.UUIDField(primary_key=True)
        ratio = models.FloatField()

        class Meta:
            app_label = "results"
            db_table = "strange"

    with pytest.raises(ImproperlyConfigured, match=r"Strange\.ratio: no durable store knows a FloatField"):
        table_of(Strange)


SMALL = Table(
    "fill",
    "id",
    (Column("id", "uuid"), Column("version", "integer"), Column("day", "date"), Column("fee", "decimal", True)),
)
LOG = """(
  "id" UUID,
  "version" Int64,
  "day" Date32,
  "fee" Nullable(Decimal(38, 12)),
  "seq" Int64,
  "stream_id" String,
  "ingested_at" DateTime64(6, 'UTC'),
  INDEX seq_range seq TYPE minmax GRANULARITY 1
)"""
VIEW = """SELECT "id", "version", "day", "fee", "seq", "stream_id", "ingested_at" FROM "fill_log" FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1"""


def test_one_server_gets_a_replacing_log_and_a_view_of_newest_versions() -> None:
    assert clickhouse_ddl(SMALL) == [
        f"""CREATE TABLE IF NOT EXISTS "fill_log" {LOG}
ENGINE = ReplacingMergeTree(version)
PARTITION BY toYYYYMM(day)
ORDER BY "id"
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000""",
        f'CREATE OR REPLACE VIEW "fill" AS\n{VIEW}',
    ]


def test_cluster_gets_replicated_logs_and_tables_that_distribute_by_the_key() -> None:
    assert clickhouse_ddl(SMALL, "desk") == [
        f"""CREATE TABLE IF NOT EXISTS "fill_log_local" ON CLUSTER "desk" {LOG}
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/{{shard}}/{{database}}/fill_log', '{{replica}}', version)
PARTITION BY toYYYYMM(day)
ORDER BY "id"
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1""",
        """CREATE TABLE IF NOT EXISTS "fill_log" ON CLUSTER "desk" AS "fill_log_local"
ENGINE = Distributed("desk", currentDatabase(), "fill_log_local", cityHash64("id"))""",
        f'CREATE OR REPLACE VIEW "fill" ON CLUSTER "desk" AS\n{VIEW}',
    ]


def test_cluster_adds_a_column_to_stored_and_distributing_table() -> None:
    assert clickhouse_add_column(SMALL, Column("note", "text"), "desk") == [
        'ALTER TABLE "fill_log_local" ON CLUSTER "desk" ADD COLUMN IF NOT EXISTS "note" Nullable(String)',
        'ALTER TABLE "fill_log" ON CLUSTER "desk" ADD COLUMN IF NOT EXISTS "note" Nullable(String)',
    ]


def test_marks_of_a_cluster_are_distributed_too() -> None:
    stored, distributed = clickhouse_marks_ddl("desk")
    assert (
        "ReplicatedReplacingMergeTree('/clickhouse/tables/{shard}/{database}/follower_mark', '{replica}', at)" in stored
    )
    assert 'Distributed("desk", currentDatabase(), "follower_mark_local", bucket)' in distributed


def test_types_of_the_log_are_those_that_duckdb_gives(gate: Gate) -> None:
    table = TABLES["paper_trade"]
    with gate.read() as connection:
        given = connection.sql(f"SELECT * FROM {table.log_name}").to_arrow_table().schema
    assert given.types == arrow_schema(table).types
    assert pyarrow.types.is_string(given.field("id").type)
