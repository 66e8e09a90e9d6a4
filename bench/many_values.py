"""What the rows of `bench.many_rows` hold, as SQL over trade `t` and its row `k`. {rare}: every so many trades."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from django.db import models

from results import models as results
from trading import models as trading

PER_TRADE = 4  # results

TRADE = {
    "symbol": "CASE WHEN t % {rare} = 5 THEN 'RAREUSDT' WHEN t % 10 < 4 THEN 'BTCUSDT' WHEN t % 10 < 7 THEN 'ETHUSDT' "
    "WHEN t % 10 < 9 THEN 'SOLUSDT' ELSE 'XRPUSDT' END",
    "long_exchange": "CASE WHEN t % {rare} = 7 THEN 'newvenue' WHEN t % 10 = 9 OR t % 3 = 0 THEN 'binance' "
    "WHEN t % 3 = 1 THEN 'bybit' ELSE 'okx' END",
    "short_exchange": "CASE WHEN t % 10 = 9 OR t % 3 = 0 THEN 'bybit' WHEN t % 3 = 1 THEN 'okx' ELSE 'binance' END",
    "portfolio": "CASE WHEN t < {trades} / 5 THEN 'retired' WHEN t % {rare} = 11 THEN 'tiny' "
    "WHEN t % 2 = 0 THEN 'taker' ELSE 'strategy' END",
}
LEG = {
    "leg": "CASE WHEN k % 2 = 0 THEN 'long' ELSE 'short' END",
    "role": "CASE WHEN k < 2 THEN 'entry' WHEN t % 50 = 0 THEN 'hedge' ELSE 'exit' END",
    "direction": "CASE WHEN k = 0 OR k = 3 THEN 'buy' ELSE 'sell' END",
    "exchange": f"CASE WHEN k % 2 = 0 THEN {TRADE['long_exchange']} ELSE {TRADE['short_exchange']} END",
}
TEXTS = {
    "origin": "'engine'",
    "stream_id": "'1763700000000-0'",
    "reason": "'timeout_500ms'",
    "unfilled_leg": "'short'",
    "evidence": """'{{"kind":"queue","depth":"12.5","threshold":"2.5","prints_count":3,"prints_quantity":"2.6"}}'""",
    "content": "'pnl=much'",
}
UNDECIDED = "t % 1000 = 25"
BORN = {"changed_by": "'maker'"}


class Made(NamedTuple):
    """A table: `per` rows for one trade of `every` so many, and what those columns hold that only this table has."""

    model: type[models.Model]
    per: int
    every: int
    columns: Mapping[str, str]
    is_born: bool = False


ACTIVE = "t >= {trades} - 40"  # the newest trades are open
MADE = (
    Made(
        trading.PaperTrade,
        1,
        1,
        {
            "status": f"CASE WHEN {ACTIVE} THEN 'Active' ELSE 'Closed' END",
            "exit_reason": f"CASE WHEN {ACTIVE} THEN NULL WHEN t % {{rare}} = 13 THEN 'manual' "
            "WHEN t % 50 = 0 THEN 'leg_out' WHEN t % 4 = 1 THEN 'max_hold' ELSE 'profit_target' END",
            "legged_out": "t % 50 = 0",
        },
    ),
    Made(
        results.TradeResult,
        PER_TRADE,
        1,
        {
            "state": "CASE WHEN t % {rare} = 3 THEN 'failed' WHEN t % 100 = 1 THEN 'partially_filled' "
            "ELSE 'executed' END"
        },
    ),
    Made(results.ResultMetrics, PER_TRADE, 1, {}),
    Made(trading.OrderFill, PER_TRADE, 1, {"liquidity": "CASE WHEN k < 2 THEN 'maker' ELSE 'taker' END"}),
    Made(trading.ShadowFill, 2, 1, {}),
    Made(trading.FundingPayment, 2, 2, {"basis": "CASE WHEN t % {rare} = 4 THEN 'estimated' ELSE 'settled' END"}),
    Made(
        trading.LegOutEvent,
        1,
        50,
        {"hedge": "CASE WHEN t % 100 = 0 THEN 'unwind' ELSE 'complete' END", "filled_leg": "'long'"},
    ),
    Made(
        results.TradeReconciliation,
        1,
        1,
        {"reconciliation_status": "CASE WHEN t % 25 = 0 THEN 'failed' ELSE 'success' END"},
    ),
    Made(
        results.TradeReconciliationBreak,
        2,
        25,
        {
            "kind": "CASE WHEN t % 3 = 0 THEN 'latency' ELSE 'adverse_slippage' END",
            "is_failure": "k = 0",
        },
    ),
    Made(
        results.DeadLetter,
        1,
        500,
        {
            "kind": "'hash'",
            "table": "'trade_result'",
            "state": "CASE WHEN t % 5000 = 0 THEN 'open' ELSE 'done' END",
            "key": "'result:made'",
        },
    ),
    Made(
        results.ReviewCase,
        1,
        25,
        {
            "state": "CASE WHEN t % 1000 = 0 THEN 'open' WHEN t % 1000 = 25 THEN 'proposed' ELSE 'resolved' END",
            "kind": "CASE WHEN t % 3 = 0 THEN 'latency' ELSE 'adverse_slippage' END",
            "severity": "1 + t % 3",
            "assignee": "CASE WHEN t % 75 = 0 THEN 'maker' ELSE '' END",
        },
        True,
    ),
    Made(
        results.Review,
        1,
        25,
        {
            "resolution": "CASE WHEN t % 100 = 0 THEN 'adjust' ELSE 'accept' END",
            "reason": "CASE WHEN t % 100 = 0 THEN 'wrong_price' ELSE 'market_moved' END",
            "maker": "'maker'",
            "maker_id": "1",
            "outcome": f"CASE WHEN {UNDECIDED} THEN '' ELSE 'approved' END",
            "checker": f"CASE WHEN {UNDECIDED} THEN '' ELSE 'checker' END",
            "checker_id": f"CASE WHEN {UNDECIDED} THEN NULL ELSE 2 END",
        },
        True,
    ),
    Made(
        results.TradeAdjustment,
        1,
        100,
        {"adjusted_table": "'trade_result'", "adjusted_column": "'execution_price'", "in_force": "TRUE"},
        True,
    ),
    Made(results.ReviewComment, 1, 50, {"author": "'maker'", "text": "'The book was thin.'"}, True),
    Made(results.AuditEntry, 2, 25, {"who": "'maker'", "action": "'propose'", "subject": "'review_case'"}, True),
)
