"""hftbacktest's exchange with its risk-averse queue model, called without numba.

Its Python package wraps a Rust library in numba classes; numba is no requirement of ours, so that the library is loaded
alone and its C functions are called as the package's `binding.py` calls them. Times are nanoseconds there.

Data as its `binancefutures.convert` makes it (snapshot: clear and set; diff: one row a level; print: one row by
aggressor), but by the event time E, which our engine goes by, and not by the transaction time T a few ms earlier.
The local side hears everything at once: orders arrive where they are sent.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trading.domain.events import BookDiff, BookSnapshot, Level, MarketEvent, Print
from trading.domain.orders import Side

DEPTH, TRADE, CLEAR, SNAPSHOT = 1, 2, 3, 4
EVERYWHERE = (1 << 31) | (1 << 30)  # valid for the exchange and for the local side
SIDES = {Side.BUY: 1 << 29, Side.SELL: 1 << 28}
GOOD_TILL_CANCELLED = LIMIT = 0
FILLED = 3
NS_PER_US = 1_000
EVENT = np.dtype(
    [
        ("ev", "u8"),
        ("exch_ts", "i8"),
        ("local_ts", "i8"),
        ("px", "f8"),
        ("qty", "f8"),
        ("order_id", "u8"),
        ("ival", "i8"),
        ("fval", "f8"),
    ],
    align=True,
)


class OrderRecord(ctypes.Structure):
    """hftbacktest's `order_dtype`."""

    _fields_ = (
        ("qty", ctypes.c_double),
        ("leaves_qty", ctypes.c_double),
        ("exec_qty", ctypes.c_double),
        ("exec_price_tick", ctypes.c_int64),
        ("price_tick", ctypes.c_int64),
        ("tick_size", ctypes.c_double),
        ("exch_timestamp", ctypes.c_int64),
        ("local_timestamp", ctypes.c_int64),
        ("order_id", ctypes.c_uint64),
        ("q1", ctypes.c_uint64),
        ("q2", ctypes.c_uint64),
        ("maker", ctypes.c_bool),
        ("order_type", ctypes.c_uint8),
        ("req", ctypes.c_uint8),
        ("status", ctypes.c_uint8),
        ("side", ctypes.c_int8),
        ("time_in_force", ctypes.c_uint8),
    )


class Outcome(NamedTuple):
    """What an order came to: when it was filled (None: it was not), in microseconds, and whether it rested."""

    filled_us: int | None
    maker: bool


def rows_of(events: Iterable[MarketEvent]) -> NDArray[Any]:
    """The depth and prints of one instrument as hftbacktest takes them; its top of book it makes itself."""
    rows: list[tuple[int, int, int, float, float, int, int, float]] = []
    for event in events:
        at_ns = event.event_us * NS_PER_US
        rows += [
            (kind | EVERYWHERE, at_ns, at_ns, price, quantity, 0, 0, 0.0) for kind, price, quantity in _told(event)
        ]
    return np.array(rows, dtype=EVENT)


def _told(event: MarketEvent) -> Iterator[tuple[int, float, float]]:
    if isinstance(event, Print):
        yield TRADE | SIDES[Side(event.aggressor)], float(event.price), float(event.quantity)
    elif isinstance(event, BookDiff | BookSnapshot):
        for side, levels in ((Side.BUY, event.bids), (Side.SELL, event.asks)):
            yield from _levels(event, SIDES[side], levels)


def _levels(event: MarketEvent, side: int, levels: list[Level]) -> Iterator[tuple[int, float, float]]:
    kind = DEPTH
    if isinstance(event, BookSnapshot) and levels:
        kind = SNAPSHOT
        yield CLEAR | side, float(levels[-1][0]), 0.0
    for price, quantity in levels:
        yield kind | side, float(price), float(quantity)


class RiskAverseExchange:
    """One instrument of hftbacktest: whole fills, no fees, no latency, the risk-averse queue model."""

    def __init__(self, rows: NDArray[Any], tick_size: float, lot_size: float) -> None:
        spec = importlib.util.find_spec("hftbacktest")
        assert spec is not None and spec.submodule_search_locations, "hftbacktest is a requirement of the tests"
        library = next(Path(spec.submodule_search_locations[0]).glob("_hftbacktest*.so"))
        module_spec = importlib.util.spec_from_file_location("_hftbacktest", library)
        assert module_spec is not None and module_spec.loader is not None
        module = importlib.util.module_from_spec(module_spec)
        module_spec.loader.exec_module(module)
        asset = module.BacktestAsset()
        self._rows = rows  # the library reads the array's own memory
        asset._add_data_ndarray(rows.ctypes.data, len(rows))
        asset.linear_asset(1.0).constant_order_latency(0, 0).risk_adverse_queue_model().no_partial_fill_exchange()
        asset.trading_value_fee_model(0.0, 0.0).tick_size(tick_size).lot_size(lot_size)
        self._at = ctypes.c_void_p(module.build_hashmap_backtest([asset]))
        self._calls = ctypes.CDLL(str(library))
        for name in ("hashmapbt_orders", "orders_get"):
            getattr(self._calls, name).restype = ctypes.c_void_p
        self._calls.hashmapbt_current_timestamp.restype = ctypes.c_int64
        self._calls.hashmapbt_elapse(self._at, ctypes.c_uint64(0))

    def run_until(self, at_us: int) -> None:
        """Takes in everything up to an instant."""
        passed_ns = at_us * NS_PER_US - self._calls.hashmapbt_current_timestamp(self._at)
        self._calls.hashmapbt_elapse(self._at, ctypes.c_uint64(passed_ns))

    def submit(self, number: int, side: Side, price: float, quantity: float) -> None:
        """Sends a limit order under a number of its own."""
        send = self._calls.hashmapbt_submit_buy_order if side is Side.BUY else self._calls.hashmapbt_submit_sell_order
        answer = send(
            self._at,
            ctypes.c_uint64(0),
            ctypes.c_uint64(number),
            ctypes.c_double(price),
            ctypes.c_double(quantity),
            ctypes.c_uint8(GOOD_TILL_CANCELLED),
            ctypes.c_uint8(LIMIT),
            ctypes.c_bool(False),
        )
        assert answer == 0

    def cancel(self, number: int) -> None:
        """Sends a cancel."""
        self._calls.hashmapbt_cancel(self._at, ctypes.c_uint64(0), ctypes.c_uint64(number), ctypes.c_bool(False))

    def outcome(self, number: int) -> Outcome:
        """What became of an order until now."""
        orders = ctypes.c_void_p(self._calls.hashmapbt_orders(self._at, ctypes.c_uint64(0)))
        record = OrderRecord.from_address(self._calls.orders_get(orders, ctypes.c_uint64(number)))
        filled = record.status == FILLED
        return Outcome(record.exch_timestamp // NS_PER_US if filled else None, bool(record.maker))

    def close(self) -> None:
        """Frees the library's memory."""
        self._calls.hashmapbt_close(self._at)
