"""Bare clients that are killed a hundred times: nothing that was acknowledged is lost, doubled or half done, in any
store. The same harness finds what the documents' plain commands break: a detector that finds nothing there is blind.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.checker import Kind
from tests.faults.lives import Plan, Writer
from tests.faults.runs import Run, seed_or
from tests.results.pipeline.conftest import clickhouse, fresh_clickhouse_url, gate, side
from tests.results.pipeline.made import Side

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate", "side"]

KILLS, CHANGES = 100, 150_000
KILLS_TO_BE_SURE, SHORT_BYTES_MAX = 24, 60_000


def test_killed_clients_lose_and_double_nothing_in_any_store(side: Side, tmp_path: Path) -> None:
    run = Run(side, Plan(seed_or(4), KILLS, CHANGES), tmp_path)
    found = run.play()
    run.require_right(found)
    assert run.kills.kills >= KILLS
    assert found.changes >= CHANGES
    assert found.versions > found.changes  # the reconciliations, and what was done and never answered


@pytest.mark.parametrize(
    ("writer", "half_done"), [(Writer.PLAIN, {Kind.HALF, Kind.LOST}), (Writer.MULTI, {Kind.DUPLICATED, Kind.INVARIANT})]
)
def test_plain_commands_are_found_out(side: Side, tmp_path: Path, writer: Writer, half_done: set[Kind]) -> None:
    plan = Plan(seed_or(4), KILLS_TO_BE_SURE, writer=writer, bytes_max=SHORT_BYTES_MAX, trade_fraction=0.8)
    run = Run(side, plan, tmp_path)
    found = run.play()
    kinds = {finding.kind for finding in found.findings}
    assert Kind.INVARIANT in kinds, f"{found}\n{run.replay}"
    assert kinds & half_done, f"{found}\n{run.replay}"
