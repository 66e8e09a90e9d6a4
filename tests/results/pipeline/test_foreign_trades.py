"""Trades and leg-outs that other programs set under a portfolio's keys, on real stores. Source: ruling 22."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from results.models import DeadLetterState
from tests.results.pipeline.foreign import TRADE_ID, Program, counted, later, letters, settle, versions
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio
from tests.trading.stores import made
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.holds import Holds

D = Decimal
OTHER_ID = "660e8400-e29b-41d4-a716-446655440001"
LEG_OUTS = "strategy:leg_out_events"


@pytest.fixture
def program(side: Side) -> Program:
    """Another program, and the portfolio `strategy` of the desk."""
    writing = Program(side)
    writing.has_a_portfolio()
    return writing


@pytest.mark.both_databases
def test_the_documented_trade_arrives_when_it_is_opened_and_when_it_is_closed(side: Side, program: Program) -> None:
    program.opens()
    settle(side)
    (row,) = versions(side, "paper_trade")
    assert (row["id"], row["status"], row["origin"], row["portfolio"]) == (TRADE_ID, "Active", "foreign", "strategy")
    program.closes()
    settle(side)
    rows = versions(side, "paper_trade")
    assert [(row["version"], row["status"], row["actual_profit_usd"]) for row in rows] == [
        (1, "Active", None),
        (2, "Closed", D("48.5")),
    ]
    assert counted(side) == (2, 2, 0, 0)


def test_the_record_of_a_trade_stays_as_it_is_and_is_taken_once(side: Side, program: Program) -> None:
    program.opens()
    key = f"strategy:trades:active:{TRADE_ID}"
    before = side.client.get(key)
    settle(side)
    side.sync = side.new_sync()
    assert settle(side).appended == 0
    assert side.client.get(key) == before


def test_both_records_of_one_trade_in_one_sweep_end_closed(side: Side, program: Program) -> None:
    program.opens()
    trade = msgspec.json.decode(made.document("trade_closed.json"))
    side.client.set(f"strategy:trades:closed:{TRADE_ID}", msgspec.json.encode(trade))
    settle(side)
    assert [row["status"] for row in versions(side, "paper_trade")] == ["Active", "Closed"]


def test_a_trade_that_goes_back_is_set_aside(side: Side, program: Program) -> None:
    program.opens()
    program.closes()
    settle(side)
    program.opens()
    settle(side)
    (letter,) = letters()
    assert letter.reason == f"trade {TRADE_ID} is Closed, it cannot become Active"
    assert [row["status"] for row in versions(side, "paper_trade")] == ["Closed"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"position_size_usd": "many"}, "Invalid decimal string"),
        ({"id": "trade-1"}, "not a lower-case UUID"),
        ({"symbol": "x" * 65}, "which not every store can hold"),
        ({"status": "Resting"}, "Invalid enum value"),
    ],
)
def test_a_trade_that_is_none_is_a_dead_letter(
    side: Side, program: Program, changes: dict[str, Any], reason: str
) -> None:
    program.opens(**changes)
    program.opens(id=OTHER_ID)
    assert settle(side).appended == 1
    (letter,) = letters()
    assert reason in letter.reason, letter.reason
    assert letter.content.startswith('{"id":')


def test_a_record_set_over_a_trade_of_the_engine_is_a_dead_letter(side: Side, program: Program) -> None:
    trade = Portfolio(side.client).opened(1)
    settle(side)
    program.opens(id=trade.id)
    settle(side)
    (letter,) = letters()
    assert letter.reason == f"trade {trade.id} is the engine's, another program has set it anew"
    assert {row["origin"] for row in versions(side, "paper_trade")} == {"engine"}


def test_trades_of_the_engine_are_not_looked_at(side: Side) -> None:
    portfolio = Portfolio(side.client)
    portfolio.closed(portfolio.opened(1))
    portfolio.opened(2)
    settle(side)
    assert counted(side) == (0, 0, 0, 0)


def test_a_leg_out_arrives_once_whatever_is_pushed_after_it(side: Side, program: Program) -> None:
    program.opens()
    side.client.lpush(LEG_OUTS, made.document("leg_out_event.json"))
    settle(side)
    (row,) = versions(side, "leg_out_event")
    assert (row["trade_id"], row["hedge_loss"], row["origin"]) == (TRADE_ID, D("52.5"), "foreign")
    event = {**msgspec.json.decode(made.document("leg_out_event.json")), "trade_id": OTHER_ID}
    side.client.lpush(LEG_OUTS, msgspec.json.encode(event))
    side.client.rpush(LEG_OUTS, b"no event")
    side.sync = side.new_sync()
    settle(side)
    later(side)
    assert [row["trade_id"] for row in versions(side, "leg_out_event")] == [TRADE_ID, OTHER_ID]
    (letter,) = letters()
    assert (letter.kind, letter.content) == ("element", "no event")


def test_a_field_of_a_trade_that_is_changed_later_is_its_next_version(side: Side, program: Program) -> None:
    trade = program.opens()
    settle(side)
    for changes in ({"funding_delta_entry": 0.0005}, {"funding_delta_entry": 0.0005, "status": "Exiting"}):
        side.client.set(f"strategy:trades:active:{TRADE_ID}", msgspec.json.encode({**trade, **changes}))
        settle(side)
    rows = versions(side, "paper_trade")
    assert [(row["version"], row["funding_delta_entry"], row["status"]) for row in rows[1:]] == [
        (2, D("0.0005"), "Active"),
        (3, D("0.0005"), "Exiting"),
    ]
    assert counted(side) == (3, 3, 0, 0)


def test_an_element_of_the_leg_out_list_that_is_changed_in_its_place_is_the_next_version(
    side: Side, program: Program
) -> None:
    program.opens()
    event = msgspec.json.decode(made.document("leg_out_event.json"))
    for trade_id in (TRADE_ID, OTHER_ID):
        side.client.lpush(LEG_OUTS, msgspec.json.encode({**event, "trade_id": trade_id}))
    settle(side)
    side.client.lset(LEG_OUTS, 1, msgspec.json.encode({**event, "trade_id": TRADE_ID, "hedge_loss": 60}).decode())
    settle(side)
    rows = versions(side, "leg_out_event")
    assert [(row["trade_id"], row["version"], row["hedge_loss"]) for row in rows] == [
        (TRADE_ID, 1, D("52.5")),
        (OTHER_ID, 1, D("52.5")),
        (TRADE_ID, 2, D(60)),
    ]
    side.client.lset(LEG_OUTS, 0, "no event any more")
    settle(side)
    assert [letter.content for letter in letters()] == ["no event any more"]
    assert counted(side) == (5, 4, 1, 1)


def test_leg_outs_of_the_engine_are_not_taken_for_those_of_others(side: Side) -> None:
    portfolio = Portfolio(side.client)
    portfolio.legged_out(1)
    settle(side)
    assert counted(side) == (0, 0, 0, 0)
    assert versions(side, "leg_out_event")[0]["origin"] is None


def test_a_trade_that_breaks_conservation_holds_its_portfolio_until_it_adds_up(side: Side, program: Program) -> None:
    portfolio = Portfolio(side.client)
    portfolio.opened(1)
    settle(side)
    assert Holds(side.client).of_capital() == {}
    program.opens()
    settle(side)
    (reason,) = Holds(side.client).of_capital().values()
    assert reason.startswith("1 of 2 open trades are of other programs: available ")
    assert side.client.hget(keys.HOLDS, "strategy") == reason.encode()
    settle(side)
    program.closes()
    settle(side)
    settle(side)
    assert Holds(side.client).of_capital() == {}
    told = [(each.kind, each.prefix, each.reason) for each in CommandStore(side.client).read("0/1")]
    assert told == [("hold", "strategy", reason)] * 2 + [("hold", "strategy", "")]


def test_an_unreadable_record_beside_a_sound_portfolio_holds_nothing(side: Side) -> None:
    Portfolio(side.client).opened(1)
    side.client.set(f"strategy:trades:active:{TRADE_ID}", "no trade")
    settle(side)
    assert Holds(side.client).of_capital() == {}
    assert letters()[0].state == DeadLetterState.OPEN
