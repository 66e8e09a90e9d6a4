"""The tables of a cluster, as far as one process can have them.

The embedded engine has Distributed tables over itself and no keeper, so neither ON CLUSTER nor Replicated engines:
those two are taken out of the statements, which ClickHouse's own parser reads whole first.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from paperdesk.embedded.ports import free_port
from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from results.stores import clickhouse_plan, duck
from results.stores.clickhouse import ClickHouse
from results.stores.failures import ClickHouseRefused
from results.stores.gate import Gate
from results.stores.marks import Mark
from results.stores.schema import TABLES
from tests.results.stores.test_clickhouse import count, logged

CLUSTER = "desk"
RESULT = TABLES["trade_result"]
PROGRAM = """
import sys
from results.stores.embedded import __main__, engine
engine.CONFIGURATION = engine.CONFIGURATION.replace("<clickhouse>", "<clickhouse>" + sys.argv.pop(1))
sys.exit(__main__.main())
"""
ONE_NODE = """<tcp_port>{port}</tcp_port><remote_servers><desk><shard><replica>
<host>127.0.0.1</host><port>{port}</port></replica></shard></desk></remote_servers>"""
REPLICATED = re.compile(r"ReplicatedReplacingMergeTree\('[^']*', '[^']*', (\w+)\)")
ON_CLUSTER = f' ON CLUSTER "{CLUSTER}"'


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouse]:
    """A client with a cluster's name, and the tables of a cluster of one."""
    port, folder = free_port(), tmp_path_factory.mktemp("node")
    configuration = ONE_NODE.format(port=free_port())  # nobody listens there: a table of this process asks itself
    command = [sys.executable, "-c", PROGRAM, configuration, "--data", str(folder), "--port", str(port)]
    with subprocess.Popen(tied(command), cwd=BASE_DIR, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        store = ClickHouse(f"http://127.0.0.1:{port}/default", CLUSTER)
        for change in store.plan().changes:
            store.command(REPLICATED.sub(r"ReplacingMergeTree(\1)", change.statement).replace(ON_CLUSTER, ""))
        yield store
        store.close()
        process.terminate()


def test_every_statement_is_read_by_clickhouses_own_parser(node: ClickHouse) -> None:
    changes = clickhouse_plan.plan([], CLUSTER).changes
    statements = [change.statement for change in changes] + [clickhouse_plan.database_ddl("a desk", CLUSTER)]
    assert len(statements) == 3 * len(TABLES) + 3
    for statement in statements:
        assert ON_CLUSTER in statement
        read = str(node.rows("SELECT formatQuery({statement:String})", {"statement": statement})[0][0])
        assert "ON CLUSTER" in read


def test_logs_are_replicated_and_distributed_by_a_hash_of_the_key() -> None:
    statements = [change.statement for change in clickhouse_plan.plan([], CLUSTER).changes]
    for table in TABLES.values():
        local, distributed = (text for text in statements if f'EXISTS "{table.log_name}' in text)
        path = f"'/clickhouse/tables/{{shard}}/{{database}}/{table.log_name}', '{{replica}}', version"
        assert f"ReplicatedReplacingMergeTree({path})" in local
        assert (
            f'Distributed("desk", currentDatabase(), "{table.log_name}_local", cityHash64("{table.key}"))'
            in distributed
        )


def test_made_tables_are_all_that_is_wanted(node: ClickHouse) -> None:
    assert node.plan().lines == []


def test_rows_and_marks_go_through_the_distributed_tables(node: ClickHouse, gate: Gate) -> None:
    batch = logged(gate, RESULT, (1, 1), (2, 1), (1, 2))
    for _ in range(2):
        assert node.insert({RESULT.name: batch}) == 3
    assert count(node, "trade_result_log_local FINAL") == count(node, "trade_result") == 2
    assert node.newest(RESULT)["version"].to_pylist() == [2, 1]
    with gate.read() as connection:
        mark = duck.mark_of(connection, 3)
    node.confirm(mark, 1)
    assert node.marks() == [mark]
    node.forget(Mark(0, ""))
    assert node.marks() == [Mark(0, "")]


def test_rows_that_the_local_table_lost_are_noticed_and_sent_again(node: ClickHouse, gate: Gate) -> None:
    batch = logged(gate, RESULT, (7, 1), (8, 1))
    node.insert({RESULT.name: batch})
    node.command("TRUNCATE TABLE trade_result_log_local")
    assert node.lacking({RESULT.name: batch}) == {RESULT.name: 2}
    node.insert({RESULT.name: batch})
    assert node.lacking({RESULT.name: batch}) == {}


def test_a_migration_that_stopped_between_the_two_tables_goes_on(node: ClickHouse) -> None:
    node.command("DROP TABLE result_metrics_log SYNC")
    lines = node.plan().lines
    assert [line for line in lines if "create result_metrics_log" in line]
    for change in node.plan().changes:
        node.command(REPLICATED.sub(r"ReplacingMergeTree(\1)", change.statement).replace(ON_CLUSTER, ""))
    assert node.plan().lines == []


def test_on_cluster_is_refused_in_one_sentence_where_there_is_no_keeper(node: ClickHouse) -> None:
    with pytest.raises(ClickHouseRefused, match="refused: Code: 392") as refusal:
        node.migrate()
    assert "\n" not in str(refusal.value)
