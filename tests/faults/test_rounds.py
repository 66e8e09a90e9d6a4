"""The order of faults: everything comes, single faults between barrages, and the same again by the same seed."""

from __future__ import annotations

import itertools
import random

from tests.faults.__main__ import PROCESS_FAULTS, TARGET_SECONDS, recovery, shortfalls
from tests.faults.harm import KINDS, LAST, Harm
from tests.faults.judge import Judgement
from tests.faults.rounds import Barrage, rounds, targets_of
from tests.faults.run import LONG_SECONDS, Asked, Outcome, Struck

TWO, THREE = ("redis", "clickhouse"), ("redis", "clickhouse", "postgres")
LISTED = (  # what a run must have, by the issue that asked for it
    *[("kill", each) for each in ("engine", "monitor", "warehouse", "beat", "web", "redis", "clickhouse")],
    *[("freeze", each) for each in ("engine", "monitor", "warehouse", "beat", "web", "redis", "clickhouse")],
    *[(kind, each) for kind in ("cut", "refuse", "hold", "storm") for each in THREE],
    *[("second", each) for each in ("engine", "monitor", "warehouse", "beat")],
    *[("clock step", each) for each in ("redis", "engine", "monitor", "warehouse")],
    *[("malformed", each) for each in ("records", "entries", "commands")],
    ("disk full", "data"),
    ("replay from 0", "reconcile"),
    ("batch twice", "django"),
)


def first(seed: int, count: int, servers: tuple[str, ...] = THREE) -> list[Harm | Barrage]:
    return list(itertools.islice(rounds(random.Random(seed), list(KINDS), servers), count))


def test_everything_that_was_asked_for_comes_alone_and_nothing_of_the_last_kinds() -> None:
    single = {(each.kind, each.target) for each in first(1, 600) if isinstance(each, Harm)}
    assert set(LISTED) <= single
    assert not {kind for kind, _ in single} & set(LAST)
    assert set(LAST) == {"new epoch", "older copy", "older copy and clock", "emptied"}


def test_between_two_barrages_are_five_single_faults_two_of_them_kills() -> None:
    for one, two, three, four, five, last in zip(*[iter(first(2, 60))] * 6, strict=True):
        singles = [each.kind for each in (one, two, three, four, five) if isinstance(each, Harm)]
        assert [singles.count("kill"), singles.count("freeze"), len(singles)] == [2, 1, 5]
        assert isinstance(last, Barrage)
        kills = [each.target for each in last.lanes[0]]
        assert len(kills) == len(set(kills)) == 5
        assert {each.group for lane in last.lanes for each in lane} == {"kill", "freeze", "wire", "other"}


def test_of_last_kinds_alone_there_are_no_rounds() -> None:
    assert list(rounds(random.Random(1), list(LAST), THREE)) == []


def test_the_same_seed_has_the_same_order_and_another_one_another() -> None:
    assert first(3, 60) == first(3, 60)
    assert first(3, 60) != first(4, 60)


def test_a_server_that_the_desk_has_not_is_not_struck() -> None:
    assert "postgres" not in targets_of("kill", TWO)
    assert "postgres" in targets_of("kill", THREE)
    harms = [each for each in first(5, 200, TWO) if isinstance(each, Harm)]
    assert "postgres" not in {each.target for each in harms}


def struck(kind: str, target: str, seconds: float, barrage: int = 0, count: int = 1) -> Struck:
    return Struck(0.0, kind, target, KINDS[kind].group, count, seconds, [], barrage)


def test_recovery_is_that_of_single_faults_and_each_barrage_counts_once() -> None:
    faults = [struck("kill", "web", 1.0), struck("kill", "beat", 3.0), struck("freeze", "web", 9.0, barrage=1)]
    faults += [struck("kill", "web", 9.0, barrage=1), struck("storm", "redis", 2.0, count=40)]
    found = recovery(faults)
    assert found["kill"] == {"count": 2, "p50": 2.0, "p99": 3.0, "max": 3.0}
    assert found["kill web"]["count"] == 1
    assert found["barrage"] == {"count": 1, "p50": 9.0, "p99": 9.0, "max": 9.0}
    assert "freeze" not in found
    assert found["wire"]["count"] == 1


def test_a_long_run_names_the_goals_that_it_missed() -> None:
    faults = [struck("kill", "web", TARGET_SECONDS["kill"] + 1.0) for _ in range(PROCESS_FAULTS)]
    faults.append(struck("storm", "redis", 1.0, count=999))
    judgement = Judgement(1, 1, 0, 0, 500_000, {}, [])
    outcome = Outcome(Asked(1, LONG_SECONDS, list(KINDS)), 1.0, faults, judgement, [], [])
    assert outcome.ok and outcome.asked.is_long
    assert shortfalls(outcome) == [
        "999 faults on the wire, 1000 wanted",
        "2 kinds of faults, 10 wanted",
        "p99 after a kill is 6.0 s, 5 s wanted",
    ]
