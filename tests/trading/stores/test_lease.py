"""Leases on a real Redis: one holder at a time, and a fencing number that only grows."""

from __future__ import annotations

import time
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paperdesk.embedded.ports import free_port
from trading.stores import keys
from trading.stores.errors import LeaseHeld, LeaseLost, RedisAway
from trading.stores.lease import Lease, owner_name
from trading.stores.step import Step, StepRunner


def test_one_owner_holds_it_and_the_other_is_told_who_and_for_how_long(redis_client: Any) -> None:
    first, second = Lease(redis_client, "engine", "first"), Lease(redis_client, "engine", "second")
    assert first.acquire() == 1
    with pytest.raises(LeaseHeld, match=r"engine is held by first for another \d{4} ms"):
        second.acquire()
    assert second.token is None
    first.release()
    assert second.acquire() == 2


def test_a_lease_ends_by_itself_and_its_old_holder_notices(redis_client: Any) -> None:
    first, second = Lease(redis_client, "engine", "first", 30), Lease(redis_client, "engine", "second")
    first.acquire()
    time.sleep(0.05)
    assert second.acquire() == 2
    with pytest.raises(LeaseLost, match="engine is no longer held by first"):
        first.renew()
    with pytest.raises(LeaseLost, match="is not held by first"):
        first.guard(Step("a"))
    first.release()
    assert redis_client.hget(keys.lease("engine"), "owner") == b"second", "a lost lease is not given back"


def test_a_renewed_lease_lives_on(redis_client: Any) -> None:
    lease = Lease(redis_client, "engine", "first", 80)
    lease.acquire()
    for _ in range(3):
        time.sleep(0.04)
        lease.renew()
    assert 0 < redis_client.pttl(lease.key) <= 80


def test_an_owner_who_did_not_hear_the_answer_gets_the_same_number_again(redis_client: Any) -> None:
    lease = Lease(redis_client, "engine", "first")
    assert lease.acquire() == lease.acquire() == 1


def test_a_holder_who_was_paused_does_not_take_the_step_of_the_next_one_for_its_own(redis_client: Any) -> None:
    """Two engines name the same transition of the same trade alike; the later one's answer is not for the earlier."""
    runner = StepRunner(redis_client)
    paused = Lease(redis_client, "engine", "paused")
    paused.acquire()
    redis_client.delete(paused.key)  # it ran out
    holder = Lease(redis_client, "engine", "holder")
    holder.acquire()
    runner.run(holder.guard(Step("strategy:trade:2").set("a", "the holder's")))
    with pytest.raises(LeaseLost, match="its lease is held by holder"):
        runner.run(paused.guard(Step("strategy:trade:2").set("a", "the other's")))
    assert redis_client.get("a") == b"the holder's"


def test_owner_names_differ() -> None:
    assert owner_name() != owner_name()


def test_a_redis_that_is_away_is_not_a_lost_lease(redis_client: Any) -> None:
    lease = Lease(redis_client, "engine", "first")
    lease.acquire()
    gone = Lease(Redis(port=free_port(), retry=Retry(NoBackoff(), 0)), "engine", "first")
    gone.token = lease.token
    with pytest.raises(RedisAway, match="renewing the lease engine"):
        gone.renew()
    assert gone.token == lease.token
