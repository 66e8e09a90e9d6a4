"""What other queue thresholds would have made of a portfolio, by hand."""

from decimal import Decimal

from trading.domain.sensitivity import Outcome, RestedEntry, sensitivity

D = Decimal
S = 1_000_000  # a second in microseconds


def entry(trade: str, *seconds: float | None, accepted: int = 10) -> RestedEntry:
    """Accepted 10 s after the epoch, filled so many seconds after it."""
    filled = tuple(None if each is None else int((accepted + each) * S) for each in seconds)
    return RestedEntry(trade, accepted * S, 500, filled)


def test_orders_and_trades_at_each_threshold() -> None:
    entries = [
        entry("a", 0.1, 0.5, 0.9, None),
        entry("a", 0.4, 0.5, 1.5, None),  # hedged at 20% (0.3 s apart) and 50% (0), at 100% 0.6 s apart: a leg-out
        entry("b", 0.2, None, None, None),
        entry("b", 0.9, None, None, None),  # 0.7 s apart: a leg-out; then unfilled
        entry("c", 0.500001, 0.6, 0.7, 0.8),  # alone: the other leg crossed. 1 microsecond too late
    ]
    outcomes = {"a": Outcome(D("3"), legged_out=False), "b": Outcome(D("-1.5"), legged_out=True)}
    found = sensitivity(entries, outcomes)
    assert found is not None
    assert (found.orders, found.trades, found.trades_closed, found.net_usd) == (5, 2, 2, D("1.5"))
    by_name = {at.name: at for at in found.thresholds}
    assert [at.in_time_fraction for at in found.thresholds] == [D("0.6"), D("0.4"), D(0), D(0)]  # 3, 2, 0, 0 of 5
    assert [at.filled_fraction for at in found.thresholds] == [D(1), D("0.6"), D("0.6"), D("0.2")]
    sorts = [(at.hedged, at.legged_out, at.unfilled) for at in found.thresholds]
    assert sorts == [(1, 1, 0), (1, 0, 1), (0, 1, 1), (0, 0, 2)]
    assert by_name["20%"].net_usd == D("1.5")  # 3 - 1.5
    assert by_name["50%"].net_usd == D(3)
    assert by_name["100%"].net_usd == D("-1.5")
    assert by_name["trade-through"].net_usd == D(0)


def test_the_means_of_what_really_happened_are_taken() -> None:
    entries = [entry(trade, 0.1, 0.1, 5 * number, None) for trade in "abc" for number in (0, 1)]
    outcomes = {"a": Outcome(D(3), legged_out=False), "b": Outcome(D(1), legged_out=False)}
    outcomes["c"] = Outcome(D(-5), legged_out=True)
    found = sensitivity(entries, outcomes)
    assert found is not None
    # at 20% three hedged at the mean of 3 and 1; at 100% the legs are 5 s apart: three leg-outs at -5
    assert [at.net_usd for at in found.thresholds] == [D(6), D(6), D(-15), D(0)]


def test_a_class_that_never_happened_has_no_estimate() -> None:
    found = sensitivity([entry("a", 0.1, None, None, None), entry("a", 0.1, 9, None, None)], {})
    assert found is not None
    assert [at.net_usd for at in found.thresholds] == [None, None, D(0), D(0)]


def test_without_entries_there_is_nothing_to_tell() -> None:
    assert sensitivity([], {}) is None
