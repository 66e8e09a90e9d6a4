"""Atomic steps on a real Redis: all of it or nothing, and a repetition changes nothing."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from paperdesk.embedded.ports import free_port
from tests.faults.plan import Fault, Kind, Listed
from tests.faults.proxy import Proxy
from trading.stores import keys
from trading.stores.errors import LeaseLost, RedisAway, StepConflict, StepRefused
from trading.stores.step import Step, StepRunner

ENTRY = {"table": "paper_trade", "id": "1", "version": "1", "row": "{}"}


@pytest.fixture
def runner(redis_client: Any) -> StepRunner:
    return StepRunner(redis_client)


def everything(client: Any) -> dict[bytes, bytes]:
    """Every key with its serialised content, without the answers of operations."""
    names = [name for name in client.keys("*") if not name.startswith(b"paperdesk:operation:")]
    return {name: client.dump(name) for name in names}


def test_a_step_writes_every_type_and_answers_the_stream_ids(runner: StepRunner, redis_client: Any) -> None:
    step = (
        Step("a")
        .set("s", "text")
        .sadd("set", "x", "y")
        .zadd("zset", "member", 1723161289123456)
        .lpush("list", "1", "2")
        .hset("hash", {"f": "v", "g": "w"})
        .emit(ENTRY)
        .emit(ENTRY)
    )
    ids = runner.run(step)
    assert [entry[0].decode() for entry in redis_client.xrange(keys.OUTBOX)] == ids and len(ids) == 2
    assert redis_client.get("s") == b"text"
    assert redis_client.smembers("set") == {b"x", b"y"}
    assert redis_client.zscore("zset", "member") == 1723161289123456
    assert redis_client.lrange("list", 0, -1) == [b"2", b"1"]
    assert redis_client.hgetall("hash") == {b"f": b"v", b"g": b"w"}
    runner.run(Step("b").delete("s").srem("set", "x").zrem("zset", "member").hdel("hash", "f"))
    assert not redis_client.exists("s", "zset")
    assert redis_client.smembers("set") == {b"y"}
    assert redis_client.hgetall("hash") == {b"g": b"w"}


EXPECTATIONS: dict[str, Callable[[Step], Step]] = {
    "another string": lambda step: step.expect("string", "other"),
    "a string where nothing is": lambda step: step.expect("nothing", "something"),
    "nothing where a string is": lambda step: step.expect("string", None),
    "a string where a hash is": lambda step: step.expect("hash", "v"),
    "a hash where a string is": lambda step: step.expect_hash("string", {"f": "v"}),
    "a hash with another value": lambda step: step.expect_hash("hash", {"f": "v", "g": "other"}),
    "a hash with a field less": lambda step: step.expect_hash("hash", {"f": "v"}),
    "a hash with a field more": lambda step: step.expect_hash("hash", {"f": "v", "g": "w", "h": "x"}),
    "no hash where one is": lambda step: step.expect_hash("hash", None),
    "a field with another value": lambda step: step.expect_field("hash", "f", "other"),
    "a field of nothing": lambda step: step.expect_field("nothing", "f", "v"),
}


@pytest.mark.parametrize("name", EXPECTATIONS)
def test_an_expectation_that_does_not_hold_changes_nothing(name: str, runner: StepRunner, redis_client: Any) -> None:
    redis_client.set("string", "value")
    redis_client.hset("hash", mapping={"f": "v", "g": "w"})
    before = everything(redis_client)
    with pytest.raises(StepConflict) as refusal:
        runner.run(EXPECTATIONS[name](Step("a")).set("string", "changed").emit(ENTRY))
    assert refusal.value.key in ("string", "hash", "nothing")
    assert everything(redis_client) == before


def test_expectations_that_hold_let_the_step_through(runner: StepRunner, redis_client: Any) -> None:
    redis_client.set("string", b"\x00\xff raw")
    redis_client.hset("hash", mapping={"f": "v", "g": "w"})
    step = (
        Step("a")
        .expect("string", b"\x00\xff raw")
        .expect("nothing", None)
        .expect_hash("hash", {"g": "w", "f": "v"})
        .expect_hash("nothing", None)
        .expect_field("hash", "f", "v")
    )
    runner.run(step.set("string", "changed"))
    assert redis_client.get("string") == b"changed"


def test_a_repeated_operation_answers_the_same_and_changes_nothing(runner: StepRunner, redis_client: Any) -> None:
    redis_client.set("s", "1")
    step = Step("once").expect("s", "1").set("s", "2").lpush("list", "x").emit(ENTRY)
    first = runner.run(step)
    before = everything(redis_client)
    assert runner.run(step) == first
    assert everything(redis_client) == before
    assert 0 < redis_client.pttl(keys.operation("once")) <= 300_000


@pytest.fixture
def proxy(redis_server: str) -> Iterator[Proxy]:
    with Proxy(urlsplit(redis_server).port or 0) as running:
        yield running


def lose_replies(proxy: Proxy, count: int) -> None:
    """Lose the next replies: the command arrives, its answer does not come back."""
    proxy.follow(Listed({number: Fault(Kind.LOSE_REPLY) for number in range(1, count + 1)}))


@pytest.mark.parametrize("kept", [False, True], ids=["pool", "kept connection"])
@pytest.mark.parametrize("lost", [1, 2, 5])
def test_a_step_whose_answer_was_lost_is_sent_again_and_written_once(
    lost: int, kept: bool, proxy: Proxy, redis_client: Any
) -> None:
    client = Redis(port=proxy.port, retry=Retry(NoBackoff(), 0))
    runner = StepRunner(client.client() if kept else client)
    runner.run(Step("warm").set("s", "1"))  # the script is known and the connection open
    lose_replies(proxy, lost)
    ids = runner.run(Step("a").expect("s", "1").set("s", "2").lpush("list", "x").emit(ENTRY))
    assert redis_client.lrange("list", 0, -1) == [b"x"]
    assert [entry[0].decode() for entry in redis_client.xrange(keys.OUTBOX)] == ids
    client.close()


def test_when_every_answer_is_lost_the_outcome_is_unknown_and_the_step_may_be_run_again(
    proxy: Proxy, redis_client: Any
) -> None:
    client = Redis(port=proxy.port, retry=Retry(NoBackoff(), 0))
    runner = StepRunner(client)
    runner.run(Step("warm").set("s", "1"))
    lose_replies(proxy, 1_000)
    step = Step("a").expect("s", "1").set("s", "2").emit(ENTRY)
    with pytest.raises(RedisAway, match="Redis did not answer to step a") as refusal:
        runner.run(step)
    assert refusal.value.retryable
    proxy.pass_all()
    assert runner.run(step) == [entry[0].decode() for entry in redis_client.xrange(keys.OUTBOX)]
    client.close()


def test_without_a_redis_the_error_is_one_clear_sentence() -> None:
    runner = StepRunner(Redis(port=free_port(), retry=Retry(NoBackoff(), 0)))
    with pytest.raises(RedisAway, match="Redis did not answer to step a"):
        runner.run(Step("a").set("s", "1"))


WRONG_TYPES: dict[str, Callable[[Step], Step]] = {
    "SET": lambda step: step.set("list", "x"),
    "SADD": lambda step: step.sadd("list", "x"),
    "SREM": lambda step: step.srem("list", "x"),
    "ZADD": lambda step: step.zadd("list", "x", 1),
    "LPUSH": lambda step: step.lpush("set", "x"),
    "HSET": lambda step: step.hset("list", {"f": "v"}),
    "HDEL": lambda step: step.hdel("list", "f"),
    "XADD": lambda step: step.xadd("list", {"f": "v"}),
    "two types in one step": lambda step: step.set("new", "x").lpush("new", "x"),
    "no arguments": lambda step: step.sadd("new"),
    "too many arguments": lambda step: step.sadd("new", *map(str, range(5000))),
    "a command that is not listed": lambda step: step._write("new", "FLUSHALL", ["x"]),
}


@pytest.mark.parametrize("name", WRONG_TYPES)
def test_a_write_that_would_fail_half_way_changes_nothing(name: str, runner: StepRunner, redis_client: Any) -> None:
    redis_client.lpush("list", "1")
    redis_client.sadd("set", "1")
    before = everything(redis_client)
    with pytest.raises(StepRefused):
        runner.run(WRONG_TYPES[name](Step("a").set("first", "written before").emit(ENTRY)))
    assert everything(redis_client) == before


def test_a_key_may_change_its_type_when_it_is_deleted_first(runner: StepRunner, redis_client: Any) -> None:
    redis_client.lpush("key", "1")
    runner.run(Step("a").delete("key").hset("key", {"f": "v"}))
    assert redis_client.hgetall("key") == {b"f": b"v"}


def test_only_the_holder_of_the_lease_writes(runner: StepRunner, redis_client: Any) -> None:
    lease = keys.lease("engine")
    redis_client.hset(lease, mapping={"owner": "me", "token": 7})
    runner.run(Step("a").under(lease, 7).set("s", "mine"))
    with pytest.raises(LeaseLost, match="is held by me"):
        runner.run(Step("b").under(lease, 6).set("s", "older token"))
    redis_client.delete(lease)
    with pytest.raises(LeaseLost, match="has expired"):
        runner.run(Step("c").under(lease, 7).set("s", "expired"))
    assert redis_client.get("s") == b"mine"


@pytest.mark.parametrize("kept", [False, True], ids=["pool", "kept connection"])
def test_a_redis_that_forgot_the_script_is_sent_it_again(kept: bool, redis_client: Any) -> None:
    runner = StepRunner(redis_client.client() if kept else redis_client)
    runner.run(Step("a").set("s", "1"))
    redis_client.script_flush()
    runner.run(Step("b").set("s", "2"))
    assert redis_client.get("s") == b"2"


def test_a_redis_that_is_full_refuses_the_whole_step(runner: StepRunner, redis_client: Any) -> None:
    redis_client.set("s", "1")
    redis_client.config_set("maxmemory", "1")
    try:
        with pytest.raises(Exception, match="maxmemory"):
            runner.run(Step("a").set("s", "2").emit(ENTRY))
    finally:
        redis_client.config_set("maxmemory", "0")
    assert redis_client.get("s") == b"1"
    assert not redis_client.exists(keys.OUTBOX)


def test_a_number_is_written_with_all_its_digits(runner: StepRunner, redis_client: Any) -> None:
    runner.run(Step("op-1").hset("h", {"whole": 2**63 - 1, "part": 0.1}).zadd("z", "m", 2**53 - 1))
    assert redis_client.hgetall("h") == {b"whole": b"9223372036854775807", b"part": b"0.1"}
    assert redis_client.zscore("z", "m") == 2**53 - 1
    with pytest.raises(TypeError, match="not None"):
        Step("op-2").hset("h", {"none": None})


@pytest.mark.parametrize("raw", [b"", b"\xff\x00\r\n", bytes(range(256)) * 300, "ü", "\0", "x" * 70_000])
def test_any_bytes_are_compared_and_written_as_they_are(
    runner: StepRunner, redis_client: Any, raw: bytes | str
) -> None:
    redis_client.set("s", raw)
    runner.run(Step("op").expect("s", raw).set("t", raw).hset("h", {"f": raw}))
    assert redis_client.get("t") == redis_client.hget("h", "f") == redis_client.get("s")
