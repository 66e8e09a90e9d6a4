"""Fills at threshold 1.0 against hftbacktest's risk-averse queue model, on the recorded perpetual.

Of 224 orders of 6 s each, 216 (96.4%) agree on being filled or not, and of the 149 that both filled 119 (79.9%) agree
on the time within 1 ms; wanted are 95% and 75% (issue 3, point 8). Every difference is one of four rules of that model
that ruling 10 does not have.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from pathlib import Path

import pytest

from tests.trading.oracles import paper_attempts
from tests.trading.oracles.hftbacktest_exchange import Outcome
from tests.trading.oracles.paper_attempts import Attempt
from tests.trading.oracles.risk_averse_rules import RULES, explanation, filled_us, is_near, meetings
from trading.domain.events import MarketEvent
from trading.market.replay import ReplayFeed

NEAR_US = 1_000

Compared = list[tuple[Attempt, Outcome, Outcome]]


@pytest.fixture(scope="module")
def events(recorded: list[Path]) -> list[MarketEvent]:
    """The recorded perpetual."""
    return list(ReplayFeed(recorded[:1]))


@pytest.fixture(scope="module")
def compared(events: list[MarketEvent]) -> Compared:
    """Each order, what it came to on ours and on theirs."""
    ours = paper_attempts.on_paper(events)
    theirs = paper_attempts.on_hftbacktest(events, [attempt for attempt, _ in ours])
    return [(attempt, mine, other) for (attempt, mine), other in zip(ours, theirs, strict=True)]


def differing(compared: Compared) -> Compared:
    return [each for each in compared if not is_near(each[1].filled_us, each[2].filled_us, NEAR_US)]


def lifetime(events: list[MarketEvent], attempt: Attempt) -> list[MarketEvent]:
    begin = bisect_right(events, attempt.sent_us, key=lambda event: event.event_us)
    return events[begin : bisect_right(events, attempt.until_us, key=lambda event: event.event_us)]


def test_filled_or_not_agrees_for_95_percent_of_the_orders(compared: Compared) -> None:
    assert len(compared) >= 100
    agreed = sum((mine.filled_us is None) == (theirs.filled_us is None) for _, mine, theirs in compared)
    assert agreed / len(compared) >= 0.95


def test_fill_times_agree_within_a_millisecond_for_75_percent(compared: Compared) -> None:
    filled = [(mine, theirs) for _, mine, theirs in compared if mine.filled_us and theirs.filled_us]
    near = sum(is_near(mine.filled_us, theirs.filled_us, NEAR_US) for mine, theirs in filled)
    assert len(filled) >= 100
    assert near / len(filled) >= 0.75


def test_every_difference_is_one_of_the_rules_that_ruling_10_does_not_have(
    events: list[MarketEvent], compared: Compared
) -> None:
    met = meetings(events, [attempt for attempt, _, _ in compared])
    causes: Counter[tuple[str, ...]] = Counter()
    for attempt, mine, theirs in differing(compared):
        during = lifetime(events, attempt)
        assert filled_us(attempt, met[attempt.number], during, ()) == mine.filled_us
        assert is_near(filled_us(attempt, met[attempt.number], during, RULES), theirs.filled_us, NEAR_US)
        why = explanation(attempt, met[attempt.number], during, theirs.filled_us, NEAR_US)
        assert why is not None, f"order {attempt}: {mine} here, {theirs} there"
        causes[why] += 1
    assert causes.total() == len(differing(compared)) > 0


def test_ruling_10_worked_out_plainly_gives_our_time_for_every_order(
    events: list[MarketEvent], compared: Compared
) -> None:
    """Not the differing orders alone: the engine, timers and liquidity included, does what three lines of rule say."""
    met = meetings(events, [attempt for attempt, _, _ in compared])
    for attempt, mine, _ in compared:
        assert filled_us(attempt, met[attempt.number], lifetime(events, attempt), ()) == mine.filled_us
