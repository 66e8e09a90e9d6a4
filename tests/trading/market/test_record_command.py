"""`manage.py record` as a person types it."""

import json
import re
import signal
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from trading.market.replay import ReplayFeed


@pytest.fixture(autouse=True)
def own_signals() -> Iterator[None]:
    """The command replaces the process's handlers; a test gives them back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_second_of_the_synthetic_feed_is_recorded_and_can_be_replayed(tmp_path: Path) -> None:
    out = StringIO()
    path = tmp_path / "demo.gz"
    call_command("record", "--feed", "synthetic", "--out", str(path), "--seconds", "1", "--json", stdout=out)
    told = json.loads(out.getvalue())
    events = list(ReplayFeed([path]))
    assert told["events"] == len(events) == sum(told["kinds"].values()) > 30
    assert (told["file"], told["feed"], told["bytes"]) == (str(path), "synthetic", path.stat().st_size)
    assert told["troubles"] == {}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--feed", "carrier-pigeon", "--out", "x.gz"], "feed 'carrier-pigeon' is unknown"),
        (["--feed", "synthetic", "--out", "/nowhere/x.gz"], "/nowhere/x.gz: No such file or directory"),
        (["--feed", "synthetic", "--out", "{taken}"], "exists already; a recording never overwrites another one"),
        (["--feed", "synthetic", "--out", "x.gz", "--seconds", "-1"], "'-1' is not a number of seconds above zero"),
        (["--feed", "synthetic", "--out", "x.gz", "--seconds", "nan"], "'nan' is not a number of seconds"),
    ],
)
def test_wrong_words_end_in_one_sentence(words: list[str], sentence: str, tmp_path: Path) -> None:
    taken = tmp_path / "taken.gz"
    taken.touch()
    with pytest.raises(CommandError, match=re.escape(sentence)):
        call_command("record", *[word.format(taken=taken) for word in words])
    assert not Path("x.gz").exists()
