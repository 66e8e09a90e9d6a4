"""`manage.py record` as a person types it."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from redis import Redis

from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from paperdesk.errors import PaperDeskError
from trading.config import DEFAULTS
from trading.market.replay import ReplayFeed
from trading.stores import keys


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


def test_the_engine_records_beside_trading_and_numbers_a_file_that_exists(
    redis_client: Redis, bare_environment: Mapping[str, str], tmp_path: Path
) -> None:
    (tmp_path / "beside.gz").write_text("precious")
    words = ["--feed", "synthetic", "--strategy", str(DEFAULTS["synthetic"]), "--record", str(tmp_path / "beside.gz")]
    command = [sys.executable, "manage.py", "run_engine", *words]
    environment = {**bare_environment, "REDIS_URL": settings.REDIS_URL}
    with subprocess.Popen(tied(command), cwd=BASE_DIR, env=environment, stderr=subprocess.PIPE) as engine:
        deadline = time.monotonic() + 30
        while redis_client.scard(keys.MARKET_INDEX) != 15:
            assert time.monotonic() < deadline and engine.poll() is None
            time.sleep(0.05)
        engine.send_signal(signal.SIGTERM)
        engine.communicate(timeout=15)
    assert engine.returncode == 0
    feed = ReplayFeed([tmp_path / "beside-2.gz"])
    assert len({event.instrument for event in feed}) == 15
    assert feed.skipped == {}, "it was closed"
    assert (tmp_path / "beside.gz").read_text() == "precious"


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
    with pytest.raises((CommandError, PaperDeskError), match=re.escape(sentence)):
        call_command("record", *[word.format(taken=taken) for word in words])
    assert not Path("x.gz").exists()
