"""What a person at the live page must know, as sentences: what is silent, away or unreadable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from trading.domain.units import MICROSECONDS, datetime_of

FEED_SILENT_SECONDS = 3
FOLLOWER_NAMES = {
    "duckdb": "DuckDB",
    "django": "the Django tables",
    "clickhouse": "ClickHouse",
    "reconcile": "the reconciler",
    "sweep": "the sweep for records of other programs",
    "relay": "the relay of settings to the stores",
}
VERIFIERS = ("verify", "audit")  # what every minute and what every day compares
TRAIL = "trail"  # the chain of the audit trail
BACKLOG = "outbox"  # entries that nobody has taken yet
UNREADABLE_SHOWN_MAX = 5
FEED_TROUBLES_SHOWN_MAX = 5


def alarms(
    feed: Mapping[str, Any],
    troubles: Mapping[str, str],
    followers: Mapping[str, Mapping[str, Any]],
    unreadable: Mapping[str, object],
    feed_troubles: Sequence[str] = (),
) -> list[str]:
    """The sentences, worst first; `feed` and `followers` as the snapshot shows them, `troubles` by prefix."""
    halted = [f"Portfolio {prefix} does not trade: {reason}" for prefix, reason in sorted(troubles.items())]
    return [*_feed(feed), *halted, *_some(feed_troubles), *_followers(followers), *_unreadable(unreadable)]


def _feed(feed: Mapping[str, Any]) -> list[str]:
    age_ms = feed.get("age_ms")
    if age_ms is None:
        return ["The engine has not published anything yet."]
    seconds = age_ms // 1_000
    return [f"The feed has been silent for {seconds} s."] if seconds >= FEED_SILENT_SECONDS else []


def _some(feed_troubles: Sequence[str]) -> list[str]:
    shown = [f"Feed: {sentence}." for sentence in feed_troubles[:FEED_TROUBLES_SHOWN_MAX]]
    more = len(feed_troubles) - len(shown)
    return [*shown, f"{more} more troubles of the feed stand in the engine's log."] if more > 0 else shown


def _followers(followers: Mapping[str, Mapping[str, Any]]) -> list[str]:
    found = []
    for name, state in followers.items():
        if count := state.get("open"):
            records = "1 record" if count == 1 else f"{count} records"
            found.append(f"{records} of other programs could not be taken; see the dead letters in the admin.")
        if not state.get("error"):
            continue
        if name == BACKLOG:
            found.append(f"The outbox grows: {state['error']}.")
        elif name == TRAIL:
            found.append(f"The audit trail is broken: {state['error']}; see manage.py verify_audit.")
        elif name in VERIFIERS:
            found.append(f"The stores do not agree: {state['error']}; see manage.py verify_stores.")
        else:
            since = instant(state["since_us"]) if state.get("since_us") else "an unknown time"
            label = FOLLOWER_NAMES.get(name, name)
            found.append(f"{label[0].upper()}{label[1:]} is in trouble since {since}; {state['lag']} rows wait.")
    return found


def _unreadable(unreadable: Mapping[str, object]) -> list[str]:
    shown = [f"{key} cannot be read: {problem}" for key, problem in sorted(unreadable.items())[:UNREADABLE_SHOWN_MAX]]
    more = len(unreadable) - len(shown)
    return [*shown, f"{more} more records cannot be read."] if more > 0 else shown


def instant(time_us: int) -> str:
    """An instant, to the second: 2026-11-21 12:00:01 UTC; a store may have been away for days."""
    return datetime_of(time_us // MICROSECONDS * MICROSECONDS).strftime("%Y-%m-%d %H:%M:%S UTC")


def age_ms(now_us: int, then_us: int | None) -> int | None:
    """Milliseconds since an instant, never negative; None for an instant that never was."""
    return None if then_us is None else max(0, (now_us - then_us) // 1_000)
