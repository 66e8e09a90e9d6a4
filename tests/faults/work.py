"""What a client does in one life: it records batches of results, corrects them, and trades the symbol of its slot in a
portfolio that it shares with the clients of the other slots.

An operation's id says what it is, so that a later life can ask for the same again:
    SEED/SLOT/LIFE/NUMBER/batch/BATCH/VERSION        SEED/SLOT/LIFE/NUMBER/trade/TRADE/NAME OF THE MOVE
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path

from redis import Redis

from results.domain.units import day_of
from tests.faults import moves
from tests.faults.acknowledged import AcknowledgementList, Change, Operation, Outcome, change_of, read_list
from tests.faults.lives import Life
from tests.faults.moves import Move
from tests.faults.writers import store_of
from trading.domain.errors import ConservationBroken, InsufficientCapital
from trading.domain.portfolio import PortfolioState
from trading.domain.trades import Trade, TradeStatus
from trading.stores import rows, wire
from trading.stores.connection import raw_of
from trading.stores.errors import PortfolioMoved, StateMoved, StepConflict, WireError
from trading.stores.evidence_rows import fill_row
from trading.stores.keys import PortfolioKeys
from trading.stores.transition import Transition

PREFIX, OPEN = "strategy", "open"
CAPITAL = Decimal(100_000)
OPEN_TRADES_MAX = 5  # of each symbol; a position is 5,000 USD
NEW_BATCH_FRACTION = 0.15
BATCHES_HELD_MAX = 3
VERSIONS_MAX = 10
TABLES_OF_CLIENTS = (  # in which nobody else writes
    rows.TRADE_RESULT,
    rows.RESULT_METRICS,
    rows.PAPER_TRADE,
    rows.LEG_OUT_EVENT,
    rows.FUNDING_PAYMENT,
    rows.ORDER_FILL,
)
TRADE_NAMESPACE = uuid.UUID("5f0c8f0e-3f53-4c5e-9c55-0d2b7d1f4a10")
REFUSALS = (StepConflict, StateMoved, PortfolioMoved)  # nothing was written
UNUSABLE = (WireError, ConservationBroken, InsufficientCapital)  # what plain commands leave behind; nothing was sent

MOVES: dict[str, Callable[[Trade], Move]] = {
    "fill": moves.both_filled,
    "leg_out": moves.legged_out,
    "fund": moves.funded,
    "close": moves.closed,
}


class Work:
    """One life's work."""

    def __init__(self, client: Redis, life: Life) -> None:
        self._life = life
        self._client = client
        self._chance = random.Random(f"{life.seed}/{life.slot}/{life.number}/work")
        self._store = store_of(client, PREFIX, life.writer)
        self._told = AcknowledgementList(life.path)
        self._symbol = symbol_of(life.slot)
        self._number = 0
        self._batches: dict[str, int] = {}

    def go_on(self) -> None:
        """Work without end."""
        self._try_again()
        while True:
            if self._chance.random() < self._life.trade_fraction:
                self._trade()
            elif not self._batches or self._chance.random() < NEW_BATCH_FRACTION:
                self._record()
            else:
                self._correct()

    def _record(self) -> None:
        batch_id = f"{self._life.seed}/{self._life.slot}/{self._life.number}/{self._number}"
        if self._commit(moves.batch(self._named("batch", batch_id, 1), batch_id, 1)):
            self._batches[batch_id] = 1
        if len(self._batches) > BATCHES_HELD_MAX:
            self._batches.pop(next(iter(self._batches)))

    def _correct(self) -> None:
        batch_id = self._chance.choice(list(self._batches))
        version = self._batches[batch_id] = self._batches[batch_id] + 1
        self._commit(moves.batch(self._named("batch", batch_id, version), batch_id, version))
        if version == VERSIONS_MAX:
            del self._batches[batch_id]

    def _trade(self) -> None:
        try:
            state, trades = self._load()
            mine = [trade for _, trade in sorted(trades.items()) if trade.symbol == self._symbol]
            if len(mine) < OPEN_TRADES_MAX and self._chance.random() < 0.4 or not mine:
                trade_id = str(uuid.uuid5(TRADE_NAMESPACE, self._named()))
                name, move = OPEN, moves.opened(trade_id, self._symbol)
            else:
                trade = self._chance.choice(mine)
                name = self._next_move(trade)
                move = MOVES[name](trade)
            operation_id = self._named("trade", move.trade.id, name)
            self._commit(moves.transition_of(operation_id, move, state))
        except UNUSABLE:
            return

    def _next_move(self, trade: Trade) -> str:
        if trade.status is TradeStatus.PENDING:
            return "leg_out" if self._chance.random() < 0.2 else "fill"
        return "fund" if not trade.funding_short_usd and self._chance.random() < 0.4 else "close"

    def _load(self) -> tuple[PortfolioState, dict[str, Trade]]:
        state, trades = self._store.load()
        if state is None:
            raise WireError(f"there is no portfolio {PREFIX}")
        return state, trades

    def _commit(self, transition: Transition, changes: Sequence[Change] = ()) -> bool:
        """Write it, and keep in the list what is known of it; whether it was acknowledged."""
        self._number += 1
        self._told.began(transition.operation_id, changes or changes_of(transition))
        try:
            self._store.commit(transition)
        except REFUSALS:
            self._told.ended(transition.operation_id, Outcome.REFUSED)
            return False
        self._told.ended(transition.operation_id, Outcome.ACKNOWLEDGED)
        return True

    def _named(self, *about: object) -> str:
        life = self._life
        return "/".join(map(str, (life.seed, life.slot, life.number, self._number, *about)))

    def _try_again(self) -> None:
        """What the life before left unanswered, under the same id."""
        before = Path(self._life.before or "")
        left = read_list(before)[-1:] if before.is_file() else []
        for operation in left:
            if operation.outcome is Outcome.MAYBE:
                kind, *subject, last = operation.id.split("/")[4:]
                if kind == "batch":
                    self._commit(moves.batch(operation.id, "/".join(subject), int(last)))
                else:
                    self._try_trade_again(operation, subject[0], last)

    def _try_trade_again(self, operation: Operation, trade_id: str, name: str) -> None:
        """The move, from where the trade stands now. If it was made, it is asked for with the trade as it stands: that
        it was made already follows from the id alone. Nobody else moves this trade."""
        try:
            state, trades = self._load()
            trade = trades.get(trade_id) or self._closed(trade_id)
            target = next(each.version for each in operation.changes if each.table == rows.PAPER_TRADE)
            if trade is not None and trade.version == target:
                made = Transition(operation_id=operation.id, at_us=trade.entry_us, trades=(trade,))
                self._commit(made, operation.changes)
            elif trade is None and name == OPEN:
                self._commit(moves.transition_of(operation.id, moves.opened(trade_id, self._symbol), state))
            elif trade is not None:
                self._commit(moves.transition_of(operation.id, MOVES[name](trade), state))
        except UNUSABLE:
            return

    def _closed(self, trade_id: str) -> Trade | None:
        key = PortfolioKeys(PREFIX).closed_trade(trade_id)
        raw = raw_of(self._client, key)
        return None if raw is None else wire.decode_trade(raw, key, PREFIX)


def symbol_of(slot: int) -> str:
    """What the clients of a slot trade, and nobody else."""
    return f"SLOT{slot}USDT"


def first_state() -> PortfolioState:
    """The portfolio before anybody traded."""
    return PortfolioState.new(CAPITAL, moves.START_US)


def changes_of(transition: Transition) -> list[Change]:
    """The rows that a transition makes, by what the client asked for."""
    made = [(rows.TRADE_RESULT, rows.result_row(each, day_of(each.executed_us))) for each in transition.results]
    made += [
        (rows.RESULT_METRICS, rows.result_metrics_row(each, day_of(each.created_us))) for each in transition.metrics
    ]
    made += [(rows.FUNDING_PAYMENT, rows.funding_row(each, PREFIX)) for each in transition.funding]
    made += [(rows.ORDER_FILL, fill_row(each, PREFIX)) for each in transition.fills]
    for trade in transition.trades:
        made.append((rows.PAPER_TRADE, rows.trade_row(trade)))
        if trade.leg_out is not None:
            made.append((rows.LEG_OUT_EVENT, rows.leg_out_row(trade, trade.leg_out)))
    return [change_of(table, row) for table, row in made]
