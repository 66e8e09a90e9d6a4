"""A portfolio's transitions on a real Redis: what each writes, and that a refused one writes nothing."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from results.domain.canonical import row_hash
from results.domain.outcomes import result_id_of
from tests.trading.stores import made
from trading.domain import queue
from trading.domain.evidence import OrderFill, WalkEvidence
from trading.domain.funding import FundingPayment
from trading.domain.orders import Leg, Liquidity, Role, Side
from trading.domain.pnl import fees_of
from trading.domain.portfolio import PortfolioState
from trading.domain.shadow import ShadowFill
from trading.domain.trades import Trade
from trading.domain.witness import witness_of
from trading.engine.witnesses import witness_in
from trading.stores import keys, wire
from trading.stores.errors import LeaseLost, StateMoved, StepConflict, StepRefused
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.outbox import row_of_text
from trading.stores.portfolio_store import PortfolioStore
from trading.stores.transition import Checkpoint, Transition

D = Decimal
OF = PortfolioKeys("strategy")
ACTIVE, CLOSED = OF.active_trade(made.TRADE_ID), OF.closed_trade(made.TRADE_ID)
RESULT = keys.result(made.TRADE_ID)


@pytest.fixture
def store(redis_client: Any) -> PortfolioStore:
    made_store = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    made_store.create(made.state_of(), "Both passive")
    return made_store


def opening(trade: Trade | None = None) -> Transition:
    trade = trade or made.pending_trade()
    return Transition(operation_id="open", at_us=made.NOON_US, state=made.state_of(trade), trades=(trade,))


def closing() -> Transition:
    trade = made.closed_trade()
    state = made.state_of(trade).closed(trade, fees_of(trade), D(0))
    results, metrics = made.results_of(trade)
    return Transition(
        operation_id="close",
        at_us=made.NOON_US + 6_000_000,
        state=state,
        trades=(trade,),
        results=results,
        metrics=metrics,
    )


def everything(client: Any) -> dict[bytes, bytes]:
    """Every key with its serialised content, without the answers of operations."""
    names = [name for name in client.keys("*") if not name.startswith(b"paperdesk:operation:")]
    return {name: client.dump(name) for name in names}


def rows_of(client: Any) -> list[tuple[str, dict[str, Any]]]:
    """Table and canonical row of each outbox entry, after a check of its hash, id and version."""
    found = []
    for _, fields in client.xrange(keys.OUTBOX):
        table = made.OUTBOX.table(fields[b"table"].decode())
        row = row_of_text(table.columns, fields[b"row"])
        assert row["row_hash"] == row_hash(table.columns, row)
        assert (fields[b"id"].decode(), fields[b"version"].decode()) == (str(row[table.key]), str(row["version"]))
        assert list(json.loads(fields[b"row"])) == [column.name for column in table.columns]
        found.append((table.name, row))
    return found


def test_a_new_portfolio_is_written_once_and_listed(store: PortfolioStore, redis_client: Any) -> None:
    assert store.load() == (made.state_of(), {})
    about = json.loads(redis_client.hget(keys.PORTFOLIOS, "strategy"))
    assert about == {"name": "Both passive", "starting_capital": "20000", "started_us": made.NOON_US}
    assert json.loads(redis_client.get(OF.metrics))["available_capital"] == 20000
    with pytest.raises(StepConflict):
        PortfolioStore(redis_client, "strategy", made.OUTBOX).create(PortfolioState.new(D(1), 0))
    assert store.load() == (made.state_of(), {})


def test_an_entry_writes_trade_set_state_metrics_and_one_row(store: PortfolioStore, redis_client: Any) -> None:
    ids = store.commit(opening())
    assert redis_client.smembers(OF.active_trades) == {made.TRADE_ID.encode()}
    assert wire.decode_trade(redis_client.get(ACTIVE), ACTIVE, "strategy") == made.pending_trade()
    assert json.loads(redis_client.get(OF.state))["available_capital"] == 15000
    metrics = json.loads(redis_client.get(OF.metrics))
    assert (metrics["active_trade_count"], metrics["utilization_pct"]) == (1, 0.25)
    assert [entry[0].decode() for entry in redis_client.xrange(keys.OUTBOX)] == ids
    [(table, row)] = rows_of(redis_client)
    assert table == "paper_trade"
    assert (row["status"], row["version"], row["day"].isoformat()) == ("Pending", 1, "2024-08-08")
    assert row["price_pnl_long_usd"] is None and row["origin"] == "engine"


def test_another_process_loads_what_was_committed(store: PortfolioStore, redis_client: Any) -> None:
    store.commit(opening(made.active_trade()))
    again = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    assert again.load() == (made.state_of(made.active_trade()), {made.TRADE_ID: made.active_trade()})
    assert again.unreadable == {}


def test_a_close_moves_the_trade_and_writes_every_result(store: PortfolioStore, redis_client: Any) -> None:
    store.commit(opening())
    redis_client.delete(keys.OUTBOX)
    store.commit(closing())
    assert not redis_client.exists(ACTIVE, OF.active_trades)
    assert wire.decode_trade(redis_client.get(CLOSED), CLOSED, "strategy") == made.closed_trade()
    assert redis_client.zscore(OF.closed_index, made.TRADE_ID) == made.NOON_US + 5_000_001
    state = json.loads(redis_client.get(OF.state))
    assert (state["active_trades"], state["closed_trades"]) == ([], [made.TRADE_ID])
    written = rows_of(redis_client)
    assert [table for table, _ in written] == ["paper_trade"] + ["trade_result"] * 4 + ["result_metrics"] * 4
    trade = written[0][1]
    assert (trade["price_pnl_long_usd"], trade["price_pnl_short_usd"]) == (D("11.7306"), D("-9.97248"))
    assert trade["exit_long_price"] == D("42600.25")
    results, metrics = made.results_of(made.closed_trade())
    for result in results:
        fields = redis_client.hgetall(keys.result(result.result_id))
        assert fields[b"execution_price"].decode() == str(result.execution_price)
        assert b"result_id" not in fields and b"row_hash" in fields
    assert redis_client.hget(keys.result_metrics(metrics[0].result_id), "queue_wait_ms") == b"79"
    assert store.load() == (closing().state, {})


def test_a_leg_out_is_pushed_once_and_its_row_follows_its_changes(store: PortfolioStore, redis_client: Any) -> None:
    store.commit(opening())
    trade = msgspec.structs.replace(made.active_trade(), leg_out=made.leg_out())
    store.commit(Transition(operation_id="leg-out", at_us=1, trades=(trade,)))
    store.commit(Transition(operation_id="next", at_us=2, trades=(msgspec.structs.replace(trade, version=3),)))
    changed = msgspec.structs.replace(trade, version=4, leg_out=msgspec.structs.replace(made.leg_out(), reason="x"))
    store.commit(Transition(operation_id="changed", at_us=3, trades=(changed,)))
    assert [json.loads(element)["trade_id"] for element in redis_client.lrange(OF.leg_out_events, 0, -1)] == [
        made.TRADE_ID
    ]
    rows = [row for table, row in rows_of(redis_client) if table == "leg_out_event"]
    assert [(row["version"], row["reason"]) for row in rows] == [(2, "timeout_500ms"), (4, "x")]


def test_funding_is_a_row_of_the_ledger(store: PortfolioStore, redis_client: Any) -> None:
    paid = FundingPayment(
        made.TRADE_ID, made.TRADE_ID, "binance", "BTCUSDT", Leg.LONG, 1, D("0.1"), D("42500"), D("0.0001"), 8, D("-1")
    )
    store.commit(Transition(operation_id="f", at_us=1, funding=(paid,)))
    [(table, row)] = rows_of(redis_client)
    assert table == "funding_payment" and row["portfolio"] == "strategy" and row["cash_usd"] == D("-1")
    assert row["basis"] == "announced"


def test_a_fill_and_its_evidence_are_written_in_the_step_of_the_trade(store: PortfolioStore, redis_client: Any) -> None:
    order = made.active_trade().long_order
    walk = WalkEvidence(((D("42500.5"), D("0.1")),), 1, D("0.1"), D("4250.05"), None, 7, "ok")
    fill = OrderFill(
        made.TRADE_ID, made.TRADE_ID, order, D("42500.5"), D("0.1"), D("2.1"), made.NOON_US, Liquidity.TAKER, walk
    )
    store.commit(msgspec.structs.replace(opening(), fills=(fill,)))
    assert [table for table, _ in rows_of(redis_client)] == ["paper_trade", "order_fill"]
    row = rows_of(redis_client)[1][1]
    assert (row["portfolio"], row["result_id"], row["price"]) == ("strategy", result_id_of(order.id), D("42500.5"))
    assert (row["liquidity"], row["filled_at"], row["sent_at"]) == ("taker", made.NOON_US, order.created_us)
    assert json.loads(row["evidence"]) == {
        "kind": "walk", "levels": [["42500.5", "0.1"]], "levels_count": 1, "quantity": "0.1", "cost": "4250.05",
        "limit": None, "book_us": 7, "book_state": "ok",
    }  # fmt: skip


def test_the_witnesses_of_a_checkpoint_are_read_back_exactly(store: PortfolioStore, redis_client: Any) -> None:
    store.commit(opening())
    order = msgspec.structs.replace(
        made.active_trade().long_order, accepted_us=made.NOON_US, queue=queue.join(D("42500.50"), D("15.0"), D("0.20"))
    )
    witness = witness_of(made.TRADE_ID, order, made.NOON_US - 7, "ok", 500, 30_000_000)
    witness.count(77, made.NOON_US + 1, D("42500.50"), D("0.123456789012"), D("0.1"))
    store.checkpoint(Checkpoint(witnesses={order.id: msgspec.to_builtins(witness)}))
    after = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    after.load()
    assert {name: witness_in(record) for name, record in after.witnesses().items()} == {order.id: witness}


def watched(at_us: int) -> ShadowFill:
    order = made.active_trade().long_order
    return ShadowFill(
        made.TRADE_ID, order.id, "binance", "BTCUSDT", Leg.LONG, Role.ENTRY, Side.BUY, order.price, order.quantity,
        D(15), D("3.1"), at_us, 500, (at_us + 1, None, None, None), at_us + 9,
    )  # fmt: skip


def test_shadows_are_one_row_whose_version_is_how_long_they_were_watched(
    store: PortfolioStore, redis_client: Any
) -> None:
    at_us = made.NOON_US
    store.commit(Transition(operation_id="s", at_us=1, shadows=(watched(at_us),)))
    [(table, row)] = rows_of(redis_client)
    assert (table, row["version"], row["watched_until"]) == ("shadow_fill", at_us + 9, at_us + 9)
    assert [row[f"filled_{name}_at"] for name in ("20", "50", "100", "through")] == [at_us + 1, None, None, None]


def test_shadows_are_written_in_the_step_that_takes_their_witnesses_away(
    store: PortfolioStore, redis_client: Any
) -> None:
    redis_client.set(keys.VERSION_FLOORS, json.dumps({"shadow_fill": made.NOON_US + 5_000}))
    shadow = watched(made.NOON_US)
    store.checkpoint(Checkpoint(witnesses={"another": 1, shadow.order_id: 2}))
    checkpoint = Checkpoint(witnesses={"another": 3}, shadows=(shadow,))
    for _ in range(2):  # the reply to the first one was lost
        store.checkpoint(checkpoint)
        assert store.witnesses() == {"another": 3}
    [(table, row)] = rows_of(redis_client)
    assert (table, row["version"], row["watched_until"]) == ("shadow_fill", made.NOON_US + 5_001, made.NOON_US + 9)


def test_the_same_transition_again_changes_nothing(store: PortfolioStore, redis_client: Any) -> None:
    ids = store.commit(opening())
    before = everything(redis_client)
    assert store.commit(opening()) == ids
    assert everything(redis_client) == before


def test_a_transition_written_longer_ago_than_operations_are_kept_is_recognised(
    store: PortfolioStore, redis_client: Any
) -> None:
    late = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    late.load()
    store.commit(opening())
    redis_client.delete(keys.operation("open"))
    before = everything(redis_client)
    assert late.commit(opening()) == []
    assert everything(redis_client) == before
    late.commit(closing())
    assert redis_client.exists(CLOSED)


def test_a_trade_that_another_program_annotated_keeps_the_annotation(store: PortfolioStore, redis_client: Any) -> None:
    store.commit(opening())
    for key in (ACTIVE, OF.state, OF.metrics):
        redis_client.set(key, redis_client.get(key).replace(b"{", b'{"note": [1, 2.50],', 1))
    store.commit(closing())
    for key in (CLOSED, OF.state, OF.metrics):
        assert b'"note":[1, 2.50]' in redis_client.get(key), key


MOVES: dict[str, tuple[str, Any]] = {
    "a changed price": (ACTIVE, lambda raw: raw.replace(b'"entry_long_price":42500.50', b'"entry_long_price":1')),
    "a deleted trade": (ACTIVE, None),
    "a changed state": (OF.state, lambda raw: raw.replace(b'"available_capital":15000', b'"available_capital":15001')),
    "a deleted state": (OF.state, None),
    "an unreadable trade": (ACTIVE, lambda raw: raw[:-1]),
    "a state that is no JSON": (OF.state, lambda raw: b"gone"),
}


@pytest.mark.parametrize("name", MOVES)
def test_what_another_program_changed_is_refused_and_nothing_is_written(
    name: str, store: PortfolioStore, redis_client: Any
) -> None:
    store.commit(opening())
    key, change = MOVES[name]
    if change is None:
        redis_client.delete(key)
    else:
        raw = redis_client.get(key)
        assert change(raw) != raw
        redis_client.set(key, change(raw))
    before = everything(redis_client)
    with pytest.raises(StateMoved, match=key):
        store.commit(closing())
    assert everything(redis_client) == before


def test_a_trade_id_that_exists_already_is_refused(store: PortfolioStore, redis_client: Any) -> None:
    for key in (ACTIVE, CLOSED):
        redis_client.set(key, b"{}")
        before = everything(redis_client)
        with pytest.raises(StateMoved):
            store.commit(opening())
        assert everything(redis_client) == before
        redis_client.delete(key)


@pytest.mark.parametrize(
    "key",
    [CLOSED, OF.active_trades, OF.closed_index, OF.metrics, keys.OUTBOX, RESULT, OF.leg_out_events],
)
def test_a_wrong_type_at_any_written_key_changes_nothing(key: str, store: PortfolioStore, redis_client: Any) -> None:
    """The documents' plain sequence of commands would stop half way here."""
    store.commit(opening())
    transition = closing()
    trade = msgspec.structs.replace(transition.trades[0], leg_out=made.leg_out())
    result = msgspec.structs.replace(transition.results[0], result_id=made.TRADE_ID)
    transition = msgspec.structs.replace(transition, trades=(trade,), results=(result,))
    redis_client.delete(key)
    if key == OF.leg_out_events:
        redis_client.set(key, "no list")
    else:
        redis_client.rpush(key, "a list")
    before = everything(redis_client)
    with pytest.raises((StepRefused, StateMoved)):
        store.commit(transition)
    assert everything(redis_client) == before
    redis_client.delete(key)
    store.commit(transition)
    assert redis_client.exists(CLOSED) and redis_client.llen(OF.leg_out_events) == 1


def test_without_the_lease_nothing_is_written(redis_client: Any) -> None:
    first, second = (Lease(redis_client, "engine", owner) for owner in ("first", "second"))
    store = PortfolioStore(redis_client, "strategy", made.OUTBOX, first)
    with pytest.raises(LeaseLost):
        store.create(made.state_of())
    first.acquire()
    store.create(made.state_of())
    redis_client.delete(keys.lease("engine"))
    second.acquire()
    before = everything(redis_client)
    with pytest.raises(LeaseLost, match="held by second"):
        store.commit(opening())
    assert everything(redis_client) == before


def test_a_checkpoint_rewrites_queue_progress_without_outbox_entries(store: PortfolioStore, redis_client: Any) -> None:
    trade = made.pending_trade()
    store.commit(opening(trade))
    assert not redis_client.exists(keys.checkpoints("strategy"))
    assert trade.long_order.queue is not None
    queue = msgspec.structs.replace(trade.long_order.queue, cumulative_volume=D("1.4"))
    moved = trade.with_order(msgspec.structs.replace(trade.long_order, queue=queue))
    redis_client.set(ACTIVE, redis_client.get(ACTIVE).replace(b"{", b'{"note":1,', 1))
    store.checkpoint(Checkpoint(trades=(moved,), progress={"prints": {"binance:BTCUSDT": 17}}))
    assert redis_client.xlen(keys.OUTBOX) == 1
    assert b'"note":1' in redis_client.get(ACTIVE)
    assert made.texts(redis_client.get(ACTIVE))["long_order"]["queue_position"]["cumulative_volume_at_price"] == (
        "number",
        "1.4",
    )
    assert redis_client.hgetall(keys.checkpoints("strategy")) == {b"0/1": b'{"prints":{"binance:BTCUSDT":17}}'}
    assert PortfolioStore(redis_client, "strategy", made.OUTBOX).load()[1] == {trade.id: moved}
    store.commit(closing())


def test_a_foreign_trade_is_loaded_and_an_unreadable_one_is_named(store: PortfolioStore, redis_client: Any) -> None:
    redis_client.set(ACTIVE, made.document("trade_active.json"))
    redis_client.sadd(OF.active_trades, made.TRADE_ID, "broken", "absent")
    redis_client.set(OF.active_trade("broken"), '{"id":')
    _, trades = store.load()
    assert [trade.origin for trade in trades.values()] == ["foreign"]
    assert sorted(store.unreadable) == [OF.active_trade("absent"), OF.active_trade("broken")]


def test_a_result_that_says_the_same_again_is_no_new_version_and_another_figure_is(
    store: PortfolioStore, redis_client: Any
) -> None:
    results, _ = made.results_of(made.active_trade())
    first = results[0]
    key = keys.result(first.result_id)

    def commit(operation_id: str, **changes: Any) -> bytes:
        result = msgspec.structs.replace(first, **changes)
        store.commit(Transition(operation_id=operation_id, at_us=1, results=(result,)))
        return redis_client.hget(key, "version")

    assert commit("1") == b"1"
    redis_client.hset(key, "note", "by another program")
    assert commit("2") == b"1"
    assert commit("3", pnl=None, executed_us=first.executed_us + 86_400_000_000) == b"2"
    fields = redis_client.hgetall(key)
    assert fields[b"note"] == b"by another program" and b"pnl" not in fields
    assert fields[b"day"] == b"2024-08-08", "the day of the first version stays"
    assert [row["version"] for _, row in rows_of(redis_client)] == [1, 2]


def test_after_a_loss_trades_go_on_above_what_is_durable_also_when_a_commit_is_repeated(redis_client: Any) -> None:
    """An engine that was running keeps counting from its own versions; the floor is 10."""
    store = PortfolioStore(redis_client, "strategy", made.OUTBOX)
    store.create(made.state_of())
    trade = msgspec.structs.replace(made.active_trade(), version=3)
    opening = Transition(operation_id="open", at_us=1, state=made.state_of(trade), trades=(trade,))
    store.commit(opening)
    redis_client.set(keys.VERSION_FLOORS, b'{"paper_trade":10}')
    versions = []
    for version in (4, 5):
        moved = msgspec.structs.replace(trade, version=version, funding_long_usd=Decimal(version))
        transition = Transition(operation_id=f"{version}", at_us=1, trades=(moved,))
        assert store.commit(transition) == store.commit(transition)  # whoever did not hear the answer asks again
        versions.append(wire.decode_trade(redis_client.get(OF.active_trade(trade.id)), "", "strategy").version)
    assert versions == [11, 12]
    store.checkpoint(Checkpoint(trades=(moved,)))
    assert store.load()[1][trade.id].version == 12
