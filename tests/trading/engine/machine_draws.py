"""What the state machine draws: settings of portfolios and venues, times in milliseconds, quantities in lots; and how
many lives it lives."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import run_state_machine_as_test

from tests.trading.engine.machine_world import INSTRUMENTS, drawn_desk

INSTRUMENT = st.sampled_from(INSTRUMENTS)
MILLISECONDS = st.integers(0, 120)
OFFSET = st.integers(-6, 6)  # steps of two dollars
LOTS = st.integers(1, 60)  # of 0.001
FEW_LOTS = st.integers(1, 14)  # about what is ahead in a queue of at most 60 lots
SIZES = st.lists(LOTS, min_size=1, max_size=4)
SETTINGS = st.fixed_dictionaries(
    {
        "entry_policy": st.sampled_from(["both_passive", "passive_then_take", "both_take"]),
        "hedge": st.sampled_from(["unwind", "complete"]),
        "fill_volume": st.sampled_from(["whole", "printed"]),
        "exit_order": st.sampled_from(["market", "limit_then_market"]),
        "capital_mode": st.sampled_from(["fixed", "compounding"]),
        "leg_out_ms": st.sampled_from([500, 300, 60]),
        "entry_timeout_seconds": st.sampled_from([Decimal(2), Decimal("0.3"), Decimal("0.03")]),
        "exit_timeout_seconds": st.sampled_from([Decimal(1), Decimal("0.05")]),
    }
)
LATENCY = st.sampled_from([(10_000, 0), (0, 0), (45_000, 0), (10_000, 80_000)])  # microseconds: median, p99
VENUE = st.builds(
    lambda order, response, maker_fee_rate, threshold: {
        "order_latency_us": order[0],
        "order_latency_p99_us": order[1],
        "response_latency_us": response[0],
        "response_latency_p99_us": response[1],
        "maker_fee_rate": maker_fee_rate,
        "fill_threshold_fraction": threshold,
    },
    LATENCY,
    LATENCY,
    st.sampled_from([Decimal("0.0002"), Decimal("-0.0001"), Decimal(0)]),
    st.sampled_from([Decimal("0.20"), Decimal("0.07"), Decimal(1)]),
)
ALPHA_STEP = st.sampled_from(["0.001", "0.002", "0.01"])  # beta's is 0.001
DESKS = st.builds(drawn_desk, SETTINGS, SETTINGS, VENUE, VENUE, ALPHA_STEP)


def run_lives(machine: Any, steps: int, how: settings) -> None:
    """Run lives of the machine until they have taken so many steps: the same ones each time, or others from another
    number on, `MACHINE_SEED`."""
    machine.steps = 0
    number = int(os.environ.get("MACHINE_SEED", "0"))
    while machine.steps < steps:
        run_state_machine_as_test(seed(number)(machine), settings=how)
        number += 1
