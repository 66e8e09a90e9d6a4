"""Dead letters on their way to the people who look at them: from the stream into the Django table `dead_letter`.

The stream has letters, and what became of them later: `letter` (its id), `outcome` accepted, refused or superseded,
`sentence`, `by` (the later letter). Both are filed in the SQL transaction that moves the watermark, so each once. What
staff ask for is tried at the next sync; a record of another program then passes through the sweep like a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from django.db import DatabaseError, transaction
from redis import Redis
from redis.exceptions import ResponseError

from results.domain.readable import readable
from results.domain.units import datetime_of
from results.models import DeadLetter, DeadLetterState, FollowerWatermark
from results.pipeline.entries import ENTRY, RECONCILIATION, fault_of
from results.pipeline.reconcile.reconciler import Reconciler
from results.pipeline.stream import START, StreamEntry, order_of
from results.stores.schema import TABLES
from trading.stores import keys
from trading.stores.step import Step, StepRunner
from trading.stores.sweep_store import ELEMENT, HASH, SweepStore

NAME = "dead_letters"
LETTERS_PER_READ = 1_000
LETTERS_KEPT = 10_000  # in the stream, of those that are filed
RETRIES_PER_TURN = 200
KEY_LENGTH_MAX = 512
NOT_CONTENT = frozenset({"kind", "key", "reason", "source", "epoch"})
FAILURES = (DatabaseError,)

ACCEPTED, REFUSED, SUPERSEDED = "accepted", "refused", "superseded"


class LetterBook:
    """Files dead letters, and has them tried again."""

    def __init__(self, client: Redis, sweep: SweepStore, reconciler: Reconciler) -> None:
        self._client = client
        self._sweep = sweep
        self._reconciler = reconciler
        self._runner = StepRunner(client)
        self._position: str | None = None

    def file(self, at_us: int) -> int:
        """File what is new in the stream; how many entries. Raises redis.RedisError, django.db.DatabaseError."""
        filed = 0
        while entries := self._after(self._where()):
            with transaction.atomic():
                mark = FollowerWatermark.objects.select_for_update().get(name=NAME)  # one writer at a time
                fresh = [each for each in entries if order_of(each.stream_id) > order_of(mark.mark or START)]
                _file(fresh, at_us)
                mark.mark, mark.seq, mark.moved_at = entries[-1].stream_id, mark.seq + len(fresh), datetime_of(at_us)
                mark.save()
            self._position, filed = entries[-1].stream_id, filed + len(fresh)
        if filed:
            self._client.xtrim(keys.DEAD_LETTERS, maxlen=LETTERS_KEPT, approximate=True)
        return filed

    def retry(self, at_us: int) -> int:
        """Try what staff asked for; how many. Raises PaperDeskError, redis.RedisError, django.db.DatabaseError."""
        asked = list(DeadLetter.objects.filter(state=DeadLetterState.ASKED)[:RETRIES_PER_TURN])
        for letter in asked:
            if letter.kind in (ENTRY, RECONCILIATION):
                refusal = self._refusal(letter, at_us)
                told = (REFUSED, refusal) if refusal else (ACCEPTED, f"tried again: the {letter.kind} was taken")
                _tell(letter.id, *told, "", at_us)
            else:
                self._retry_record(letter, at_us)
        return len(asked)

    def _retry_record(self, letter: DeadLetter, at_us: int) -> None:
        answer = self._sweep.retry(letter.key, letter.id, letter.kind, _content_of(letter))
        if answer == "gone":
            _tell(letter.id, REFUSED, f"{letter.key} is no longer in Redis; its content is kept here", "", at_us)
        elif answer != "ok":
            _tell(letter.id, SUPERSEDED, "", answer, at_us)

    def _refusal(self, letter: DeadLetter, at_us: int) -> str | None:
        fields = {name.encode(): text.encode() for name, text in _object_of(letter.content).items()}
        if letter.kind == RECONCILIATION:
            return self._reconciler.again(StreamEntry(letter.key, fields), at_us)
        fault = fault_of(fields, TABLES)
        if fault is None:
            entry = {name.decode(): text.decode() for name, text in fields.items()}
            self._runner.run(Step(f"retry:{letter.id}:{letter.tries}").emit(entry))
        return fault

    def _where(self) -> str:
        """The last entry that was filed; the start of a stream that lost its history."""
        if self._position is None:
            moved = {"seq": 0, "mark": START, "moved_at": datetime_of(0)}
            self._position = FollowerWatermark.objects.get_or_create(name=NAME, defaults=moved)[0].mark
        return self._position

    def _after(self, position: str) -> list[StreamEntry]:
        pipeline = self._client.pipeline(transaction=False)
        pipeline.xinfo_stream(keys.DEAD_LETTERS)
        pipeline.xrange(keys.DEAD_LETTERS, f"({position}", "+", LETTERS_PER_READ)
        described, found = pipeline.execute(raise_on_error=False)
        if isinstance(described, ResponseError):
            return []  # there never was a dead letter
        for answer in (described, found):
            if isinstance(answer, Exception):
                raise answer
        if order_of(described["last-generated-id"].decode()) < order_of(position):
            FollowerWatermark.objects.filter(name=NAME).update(mark=START)  # filing a letter again changes nothing
            self._position = START
            return self._after(START)
        return [StreamEntry(stream_id.decode(), fields) for stream_id, fields in found]


def _file(entries: Sequence[StreamEntry], at_us: int) -> None:
    letters = [_letter_of(entry) for entry in entries if b"letter" not in entry.fields]
    DeadLetter.objects.bulk_create(letters, ignore_conflicts=True)
    for entry in entries:
        if b"letter" in entry.fields:
            told = {
                name: entry.fields.get(name.encode(), b"").decode() for name in ("letter", "outcome", "sentence", "by")
            }
            _tell(told["letter"], told["outcome"], told["sentence"], told["by"], at_us)


def _tell(letter_id: str, outcome: str, sentence: str, by: str, at_us: int) -> None:
    """Note what became of a letter; noting it again changes nothing but the count of tries."""
    letter = DeadLetter.objects.filter(pk=letter_id).first()
    if letter is None or letter.state == DeadLetterState.DONE:
        return
    if letter.state == DeadLetterState.ASKED:
        letter.tries, letter.tried_at = letter.tries + 1, datetime_of(at_us)
    if outcome == REFUSED:
        letter.state, letter.reason = DeadLetterState.OPEN, sentence
    else:
        later = f"the record was changed and set aside again: dead letter {by}"
        letter.state, letter.outcome = DeadLetterState.DONE, sentence if outcome == ACCEPTED else later
    letter.save()


def _letter_of(entry: StreamEntry) -> DeadLetter:
    fields = {_text(name): _text(value) for name, value in entry.fields.items()}
    whole = {name: value for name, value in fields.items() if name not in NOT_CONTENT}
    return DeadLetter(
        id=entry.stream_id,
        kind=fields.get("kind", ENTRY)[:16],
        key=fields.get("key", fields.get("source", ""))[:KEY_LENGTH_MAX],
        table=fields.get("table", "")[:64],
        reason=fields.get("reason", ""),
        content=fields["content"] if "kind" in fields and "content" in fields else msgspec.json.encode(whole).decode(),
        found_at=datetime_of(order_of(entry.stream_id)[0] * 1_000),
    )


def _text(raw: bytes) -> str:
    """The text; PostgreSQL has no NUL."""
    return readable(raw).replace("\0", "\\x00")


def _content_of(letter: DeadLetter) -> list[str]:
    if letter.kind == HASH:
        return [part for pair in _object_of(letter.content).items() for part in pair]
    return [letter.content] if letter.kind == ELEMENT else []


def _object_of(content: str) -> Mapping[str, Any]:
    try:
        return msgspec.json.decode(content, type=dict[str, str])
    except msgspec.DecodeError:
        return {}
