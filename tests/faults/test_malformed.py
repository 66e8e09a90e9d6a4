"""Whatever other programs write under the documented keys: it becomes a row, or a dead letter that holds it, and is
never in the way of the rest."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import shlex
import uuid
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.exceptions import ResponseError

from results.models import DeadLetter, DeadLetterState
from tests.faults import checker, moves
from tests.faults.acknowledged import Operation, Outcome
from tests.faults.contents import clickhouse_contents, django_contents, log_contents
from tests.faults.work import PREFIX, changes_of
from tests.results.pipeline.conftest import clickhouse, fresh_clickhouse_url, gate, side
from tests.results.pipeline.foreign import Program, later
from tests.results.pipeline.made import Side
from tests.trading.stores import made
from trading.stores import keys
from trading.stores.portfolio_store import PortfolioStore

__all__ = ["clickhouse", "fresh_clickhouse_url", "gate", "side"]

EXAMPLES = 25
POOL = 3  # ids of an example that commands have in common
ACTIVE, CLOSED, LEG_OUTS = "strategy:trades:active", "strategy:trades:closed", "strategy:leg_out_events"


def documented(kind: str) -> dict[str, str]:
    """The fields of the documents' own command."""
    words = shlex.split(made.document(f"{kind}.sh").decode().replace("\\\n", " "))
    return dict(zip(words[2::2], words[3::2], strict=True))


DOCUMENTED = {kind: documented(kind) for kind in ("result", "result_metrics", "reconciliation")}
OURS = ["version", "row_hash", "day", "origin", "result_id", "filled_quantity"]
VALUES = [
    "executed", "pending", "failed", "buy", "success", "1.5", "-0.00005", "0", "120", "2025-03-22T10:16:00Z",
    "456e1234-e89b-12d3-a456-426614174123", "BTCUSDT", "NaN", "Infinity", "1e400", "9" * 40, "1" * 5000, "-1", "",
    "\0", "2025-13-99", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "{}", "null", "٣", "ü" * 200,
]  # fmt: skip

kinds = st.sampled_from(sorted(DOCUMENTED))
numbers = st.integers(0, POOL - 1)
texts = st.sampled_from(VALUES).map(str.encode) | st.binary(max_size=40)
Fields = dict[bytes, bytes]


def fields_of(kind: str) -> st.SearchStrategy[Fields]:
    """Documented names, ours, and any bytes, with any values."""
    names = st.sampled_from([*DOCUMENTED[kind], *OURS]).map(str.encode) | st.binary(min_size=1, max_size=12)
    return st.dictionaries(names, texts, min_size=1, max_size=14)


class Command(msgspec.Struct, frozen=True):
    """A command of another program: how, the beginning of its key, which id or stray end of it, and with what."""

    verb: str
    kind: str
    subject: int | bytes
    content: Fields | bytes


hashes = kinds.flatmap(
    lambda kind: st.builds(
        Command, st.sampled_from(["set", "change"]), st.just(kind), numbers | st.binary(max_size=20), fields_of(kind)
    )
)
others = st.builds(Command, st.sampled_from(["SET", "LPUSH", "SADD"]), kinds, numbers, texts)
trades = st.builds(Command, st.just("SET"), st.sampled_from([ACTIVE, CLOSED]), numbers, texts)
leg_outs = st.builds(Command, st.just("LPUSH"), st.just(LEG_OUTS), st.just(b""), texts)
commands = st.lists(hashes | others | trades | leg_outs, min_size=1, max_size=8)


class Example:
    """One example, with ids that no other one has."""

    def __init__(self, side: Side, number: int) -> None:
        self.side = side
        self.number = number
        self.keys: set[bytes] = set()

    def does(self, command: Command) -> None:
        """What another program does. Redis itself refuses what is not of the key's type."""
        key, client = self._key(command), self.side.client
        self.keys.add(key)
        if isinstance(command.content, bytes):
            with contextlib.suppress(ResponseError):
                client.execute_command(command.verb, key, command.content)
            return
        with contextlib.suppress(ResponseError):
            if command.verb == "change":
                client.hset(key, mapping=DOCUMENTED[command.kind])  # type: ignore[arg-type]
            client.hset(key, mapping=command.content)  # type: ignore[arg-type]

    def _key(self, command: Command) -> bytes:
        if command.kind == LEG_OUTS:
            return LEG_OUTS.encode()
        if isinstance(command.subject, bytes):
            return f"{command.kind}:{self.number}".encode() + command.subject
        return f"{command.kind}:{uuid.uuid5(uuid.NAMESPACE_OID, f'{self.number}/{command.subject}')}".encode()

    def records(self) -> dict[bytes, dict[bytes, bytes]]:
        """What stands in Redis of it by name in the sweep's books: the fields of hashes, trades and leg-outs as one
        field, and of what is of no type that a record has the type."""
        found: dict[bytes, dict[bytes, bytes]] = {}
        client: Any = self.side.client
        for key in self.keys:
            match client.type(key):
                case b"hash":
                    found[key] = client.hgetall(key)
                case b"string" if key.startswith((ACTIVE.encode(), CLOSED.encode())):
                    found[key] = {b"": client.get(key)}
                case b"list" if key == LEG_OUTS.encode():
                    elements = client.lrange(key, 0, -1)
                    found |= {key + b"#" + hashlib.sha1(each).hexdigest().encode(): {b"": each} for each in elements}
                case _:
                    found[key] = {b"": client.type(key)}
        return found


def require_accounted_for(example: Example, rows: set[tuple[str, int]]) -> None:
    """Each record is the newest version of a row, or is held by an open dead letter, as it stands."""
    set_aside: Any = example.side.client.hgetall(keys.SET_ASIDE)
    letters = {letter.id: letter for letter in DeadLetter.objects.filter(state=DeadLetterState.OPEN)}
    assert {letter_id.decode() for letter_id in set_aside.values()} == set(letters)
    for name, fields in example.records().items():
        if name in set_aside:
            assert content_of(letters[set_aside[name].decode()]) == {text(f): text(v) for f, v in fields.items()}
        else:
            assert (keys.id_of(text(name)), int(fields[b"version"])) in rows, f"{name!r} is nowhere"


def content_of(letter: DeadLetter) -> dict[str, str]:
    """What a letter holds, in the form of `Example.records`."""
    held = msgspec.json.decode(letter.content, type=dict[str, str]) if letter.kind == "hash" else {"": letter.content}
    return {text(name.encode()): text(value.encode()) for name, value in held.items()}


def text(raw: bytes) -> str:
    """Any bytes, for people, and for PostgreSQL, which has no NUL."""
    return raw.decode(errors="backslashreplace").replace("\0", "\\x00")


def test_what_others_write_is_a_row_or_a_dead_letter_and_never_in_the_way(side: Side) -> None:
    Program(side).has_a_portfolio()
    store = PortfolioStore(side.client, PREFIX, made.OUTBOX)
    counted = itertools.count(1)
    ours: list[Operation] = []

    @settings(max_examples=EXAMPLES, deadline=None)
    @given(commands)
    def one(done: list[Command]) -> None:
        example = Example(side, next(counted))
        batch = moves.batch(f"ours {example.number}", f"ours {example.number}", 1)
        for number, command in enumerate(done):
            example.does(command)
            if number == 0:
                store.commit(batch)
        for _ in range(2):  # an incomplete hash is set aside when nobody has touched it for two seconds
            report = later(side)
            assert report.is_level, report.followers
        ours.append(Operation(batch.operation_id, tuple(changes_of(batch)), Outcome.ACKNOWLEDGED, "here"))
        log = log_contents(side.gate)
        require_accounted_for(example, {(key, version) for held in log.rows.values() for key, version, _ in held})

    one()
    log, stores = log_contents(side.gate), [django_contents(), clickhouse_contents(side.clickhouse)]
    found = checker.compare_with_log(ours, log) + checker.compare_checksums(log, stores)
    for other in stores:
        found += checker.compare_with_store(ours, log, other)
    assert not found, checker.shown(found)
    assert side.client.hlen(keys.SET_ASIDE) > EXAMPLES
