"""Leases on a real Redis: one holder at a time, and a fencing number that only grows."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from trading.engine.patience import Patience
from trading.stores import keys
from trading.stores.errors import LeaseHeld, LeaseLost, RedisAway
from trading.stores.lease import Lease, has_ended, owner_name
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


def ended_owner() -> str:
    """The name of a process of this machine that has ended."""
    code = "from trading.stores.lease import owner_name; print(owner_name())"
    return subprocess.run([sys.executable, "-c", code], cwd=BASE_DIR, capture_output=True, text=True).stdout.strip()


def test_a_holder_of_this_machine_that_has_ended_is_not_waited_for(redis_client: Any) -> None:
    dead = ended_owner()
    held = Lease(redis_client, "engine", dead)
    assert held.acquire() == 1
    assert Lease(redis_client, "engine", owner_name()).acquire() == 2
    with pytest.raises(LeaseLost):
        held.renew()


def test_a_holder_that_lives_or_runs_elsewhere_is_waited_for(redis_client: Any) -> None:
    dead = ended_owner()
    host, pid, place = dead.split(":")
    elsewhere = f"{host}:{pid}:00000000-{place.partition('-')[2]}"
    assert has_ended(dead)
    for owner in (owner_name(), elsewhere, "first", "a:b", f"{host}:{pid}:", ""):
        assert not has_ended(owner), owner
    holder = Lease(redis_client, "engine", elsewhere)
    holder.acquire()
    with pytest.raises(LeaseHeld, match="engine is held by"):
        Lease(redis_client, "engine", owner_name()).acquire()
    holder.renew()


def test_of_rivals_that_have_ended_none_is_waited_for(redis_client: Any) -> None:
    for name in ("b1", "b2"):
        rival_of(redis_client, name, ended_owner()).acquire()
    mine = rival_of(redis_client, "a")
    assert mine.acquire() == 1
    with pytest.raises(LeaseHeld, match="b1 cannot run beside a"):
        rival_of(redis_client, "b1").acquire()


def test_a_redis_that_is_away_is_not_a_lost_lease(redis_client: Any) -> None:
    lease = Lease(redis_client, "engine", "first")
    lease.acquire()
    gone = Lease(Redis(port=free_port(), retry=Retry(NoBackoff(), 0)), "engine", "first")
    gone.token = lease.token
    with pytest.raises(RedisAway, match="renewing the lease engine"):
        gone.renew()
    assert gone.token == lease.token


def rival_of(client: Any, name: str, owner: str = "", lifetime_ms: int = 5_000) -> Lease:
    """ "a" is a rival of "b1" and "b2", which are none of each other."""
    rivals = ["b1", "b2"] if name == "a" else ["a"]
    return Lease(client, name, owner or f"owner of {name}", lifetime_ms, rivals)


def test_a_lease_is_not_given_while_a_rival_is_held(redis_client: Any) -> None:
    whole, first, second = (rival_of(redis_client, name) for name in ("a", "b1", "b2"))
    assert (first.acquire(), second.acquire()) == (1, 1)
    first.release()
    with pytest.raises(LeaseHeld, match=r"^a cannot run beside b2: b2 is held by owner of b2 for another \d{4} ms$"):
        whole.acquire()
    assert not redis_client.exists(keys.lease("a"))
    second.release()
    whole.acquire()
    with pytest.raises(LeaseHeld, match="^b1 cannot run beside a: a is held by owner of a"):
        first.acquire()


def test_who_comes_back_sees_by_the_number_that_a_rival_was_there(redis_client: Any) -> None:
    """One more means that nobody was; see `patience`. A neighbour that is no rival does not count."""
    first, neighbour, whole = (rival_of(redis_client, name) for name in ("b1", "b2", "a"))
    assert first.acquire() == 1
    redis_client.delete(first.key)
    neighbour.acquire()
    neighbour.release()
    assert first.acquire() == 2
    redis_client.delete(first.key)
    whole.acquire()
    whole.release()
    assert first.acquire() == 4


def test_an_engine_does_not_go_on_with_what_it_remembers_after_another_division_was_at_work(redis_client: Any) -> None:
    lease = rival_of(redis_client, "b1")
    patience = Patience(lease, threading.Event())
    patience.take_lease()
    redis_client.delete(lease.key)
    whole = rival_of(redis_client, "a")
    whole.acquire()
    whole.release()
    with pytest.raises(LeaseLost, match="another engine held it in between"):
        patience.renew_lease()


def test_of_rivals_that_come_at_once_only_one_division_gets_in(redis_client: Any) -> None:
    """Many threads with connections of their own; whoever holds a lease looks for a rival's."""
    pool = redis_client.connection_pool
    seen: list[tuple[str, str]] = []

    def run(name: str, number: int) -> None:
        lease = rival_of(Redis(connection_pool=pool), name, f"{name} {number}")
        turns = 0
        while turns < 25:
            try:
                lease.acquire()
            except LeaseHeld:
                time.sleep(0.001)
                continue
            turns += 1
            rivals = ("b1", "b2") if name == "a" else ("a",)
            seen.extend((name, each) for each in rivals if redis_client.exists(keys.lease(each)))
            lease.release()

    threads = [threading.Thread(target=run, args=(name, number)) for name in ("a", "b1", "b2") for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert seen == []
    assert not any(thread.is_alive() for thread in threads)
