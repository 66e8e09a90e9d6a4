"""The durable tables as ClickHouse's DDL, on one server or on a cluster.

    one server   trade_result_log ReplacingMergeTree(version), partition toYYYYMM(day), order by the key
                 trade_result     view of newest versions (FINAL)
    cluster      trade_result_log_local Replicated..., trade_result_log Distributed over it by the key, the same view

A merge keeps the highest `version` of a key; `day` never changes, so all of them meet in one partition. Inserts are
synced to disk, and the last 1,000 tokens of inserts are remembered. Every statement may run again: its answer may have
been lost, another sync may be at the same, and of a cluster's two tables only the first may have been made.
"""

from __future__ import annotations

from results.domain.canonical import Column
from results.stores.schema import Table, clickhouse_nullable, clickhouse_type, column_list, quoted

CREATE = "CREATE TABLE IF NOT EXISTS"
TOKENS_REMEMBERED = 1_000
MARKS_TABLE = "follower_mark"
DURABLE = "fsync_after_insert = 1, fsync_part_directory = 1"
# A replicated table counts its own tokens; this one is for a single server.
SINGLE_SETTINGS = f"{DURABLE}, non_replicated_deduplication_window = {TOKENS_REMEMBERED}"


def clickhouse_ddl(table: Table, cluster: str | None = None) -> list[str]:
    """The statements that make log and view, in order; with `cluster` (its name) replicated and distributed."""
    order = f"PARTITION BY toYYYYMM(day)\nORDER BY {quoted(table.key)}"
    columns = [
        f"{quoted(column.name)} {clickhouse_nullable(column) if column.nullable else clickhouse_type(column)}"
        for column in table.log_columns
    ]
    columns.append("INDEX seq_range seq TYPE minmax GRANULARITY 1")
    key_hash = f"cityHash64({quoted(table.key)})"
    return [*_log_ddl(table.log_name, columns, order, "version", key_hash, cluster), clickhouse_view(table, cluster)]


def clickhouse_marks_ddl(cluster: str | None = None) -> list[str]:
    """The table of the follower's marks: where it stood in DuckDB's log, the latest of every `bucket` of rows."""
    columns = ["bucket Int64", "seq Int64", "mark String", "at DateTime64(6, 'UTC')"]
    return _log_ddl(MARKS_TABLE, columns, "ORDER BY bucket", "at", "bucket", cluster)


def clickhouse_view(table: Table, cluster: str | None = None) -> str:
    """The view of newest versions."""
    return (
        f"CREATE OR REPLACE VIEW {quoted(table.name)}{on_cluster(cluster)} AS\n"
        f"SELECT {column_list(table)} FROM {quoted(table.log_name)} FINAL\n"
        "SETTINGS do_not_merge_across_partitions_select_final = 1"
    )


def clickhouse_add_column(table: Table, column: Column, cluster: str | None = None) -> list[str]:
    """The statements that add a column, null in the rows of before: to the stored table, then to its distributor."""
    change = f"ADD COLUMN IF NOT EXISTS {quoted(column.name)} {clickhouse_nullable(column)}"
    names = [table.log_name] if cluster is None else [local_name(table.log_name), table.log_name]
    return [f"ALTER TABLE {quoted(name)}{on_cluster(cluster)} {change}" for name in names]


def _log_ddl(name: str, columns: list[str], order: str, version: str, sharding: str, cluster: str | None) -> list[str]:
    body = ",\n  ".join(columns)
    if cluster is None:
        engine = f"ENGINE = ReplacingMergeTree({version})"
        return [
            f"CREATE TABLE IF NOT EXISTS {quoted(name)} (\n  {body}\n)\n{engine}\n{order}\nSETTINGS {SINGLE_SETTINGS}"
        ]
    path = f"'/clickhouse/tables/{{shard}}/{{database}}/{name}'"
    engine = f"ENGINE = ReplicatedReplacingMergeTree({path}, '{{replica}}', {version})"
    local = quoted(local_name(name))
    return [
        f"{CREATE} {local}{on_cluster(cluster)} (\n  {body}\n)\n{engine}\n{order}\nSETTINGS {DURABLE}",
        f"{CREATE} {quoted(name)}{on_cluster(cluster)} AS {local}\n"
        f"ENGINE = Distributed({quoted(cluster)}, currentDatabase(), {local}, {sharding})",
    ]


def local_name(name: str) -> str:
    """The table that stores a shard's rows."""
    return f"{name}_local"


def on_cluster(cluster: str | None) -> str:
    """The clause that runs a statement on all servers of the cluster."""
    return "" if cluster is None else f" ON CLUSTER {quoted(cluster)}"
