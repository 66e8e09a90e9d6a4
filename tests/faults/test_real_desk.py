"""A whole desk of real processes under the faults of a fixed seed; `make faults` runs it longer, with any seed.

How fast the desk is back to normal is printed by `make faults` and not asserted here, where the machine is busy; that
it comes back each time is.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from paperdesk.environment import BASE_DIR, KNOWN
from tests.faults.harm import LAST

HARNESS = [sys.executable, "-m", "tests.faults"]
SECONDS_MAX = 1_500
KILLS = 10
KILLS_TO_A_BARRAGE = 7  # two alone, and those of the first one


def environment() -> dict[str, str]:
    """Variables of a shell that knows no desk."""
    return {name: value for name, value in os.environ.items() if name not in KNOWN and name != "DJANGO_SETTINGS_MODULE"}


def test_nothing_is_lost_or_doubled_while_processes_are_killed_and_connections_break() -> None:
    words = ["--seconds", "90", "--kills", str(KILLS), "--seed", "7", "--rows-per-second", "150", "--json"]
    done = subprocess.run(
        [*HARNESS, *words], cwd=BASE_DIR, env=environment(), capture_output=True, text=True, timeout=SECONDS_MAX
    )
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    told = json.loads(done.stdout)
    assert told["ok"]
    assert told["judgement"]["findings"] == {}
    assert told["judgement"]["acknowledged"] > 1_000
    assert sum(each["kind"] == "kill" for each in told["faults"]) >= KILLS
    assert {each["group"] for each in told["faults"]} >= {"kill", "freeze", "wire"}
    assert any(each["barrage"] for each in told["faults"])


def test_nothing_is_lost_when_postgresql_breaks_clocks_step_and_redis_comes_back_older() -> None:
    kinds = ["kill", "hold", "storm", "clock step", "batch twice", *LAST]
    words = ["--seconds", "1", "--kills", str(KILLS_TO_A_BARRAGE), "--seed", "8", "--json"]
    words += ["--database", "postgres", "--rows-per-second", "100"]
    done = subprocess.run(
        [*HARNESS, *words, "--kinds", *kinds],
        cwd=BASE_DIR,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )
    assert done.returncode == 0, f"{done.stderr}\n{done.stdout}"
    told = json.loads(done.stdout)
    assert told["judgement"]["findings"] == {}
    assert told["kinds"].keys() >= set(LAST)
    assert {"hold", "storm"} & {each["kind"] for each in told["faults"] if each["target"] == "postgres"}


def test_ctrl_c_ends_everything_that_was_started(tmp_path: Path) -> None:
    log = tmp_path / "harness.log"
    with open(log, "wb") as output:
        harness = subprocess.Popen(
            [*HARNESS, "--seed", "1"], cwd=BASE_DIR, env=environment(), stdout=output, stderr=output
        )
    family: list[psutil.Process] = []
    deadline = time.monotonic() + SECONDS_MAX
    while "the desk is up" not in log.read_text():
        assert harness.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
    family = psutil.Process(harness.pid).children(recursive=True)
    assert len(family) >= 9
    harness.send_signal(signal.SIGINT)
    assert harness.wait(SECONDS_MAX) == 130, log.read_text()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert "Traceback" not in log.read_text(), log.read_text()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seconds", "0"], "0 is not a number above 0"),
        (["--kills", "3", "--kinds", "cut"], "--kills 3 needs kill among the --kinds"),
        (["--minutes", "soon"], "soon is not a number above 0"),
        (["--kinds", "flood"], "invalid choice: 'flood'"),
        (["--seed", "x"], "invalid int value: 'x'"),
    ],
)
def test_a_wrong_argument_is_one_sentence_with_its_value(words: list[str], sentence: str) -> None:
    done = subprocess.run([*HARNESS, *words], cwd=BASE_DIR, env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr.splitlines()[-1]
