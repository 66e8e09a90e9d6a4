"""A whole desk, as `make run` starts it: it comes up, others find it, Ctrl-C leaves nothing, its data stays."""

import json
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from tests.desk.typed import bare, manage

UP_SECONDS_MAX = 180.0  # on a busy machine; see `up after` in the desk's own output
STOP_SECONDS_MAX = 20.0
GREETED = "Ctrl-C stops everything"
LINES_BEFORE_GREETING_MAX = 8


@contextmanager
def running(
    environment: Mapping[str, str], output: Path, *words: str, up: str = GREETED
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A desk on a free port, up; and its web address. Killed without warning if the test did not stop it."""
    port = free_port()
    with open(output, "wb") as log, open(output.with_suffix(".err"), "wb") as errors:
        command = [sys.executable, "manage.py", "desk", "--port", str(port), *words]
        desk = subprocess.Popen(command, cwd=BASE_DIR, env=dict(environment), stdout=log, stderr=errors)
    try:
        deadline = time.monotonic() + UP_SECONDS_MAX
        while up not in (text := output.read_text()):
            assert desk.poll() is None and time.monotonic() < deadline, text
            time.sleep(0.1)
        yield desk, f"http://127.0.0.1:{port}"
    finally:
        desk.kill()
        desk.wait()


def addresses(environment: Mapping[str, str]) -> dict[str, Any]:
    shown: dict[str, Any] = json.loads(manage(environment, "showenv", "--json").stdout)
    return shown


def moving_snapshot(client: redis.Redis) -> dict[str, Any]:
    """The first of two snapshots of the monitor that differ: engine, beat and monitor are at work."""
    seen: list[dict[str, Any]] = []
    deadline = time.monotonic() + UP_SECONDS_MAX
    while len(seen) < 2:
        assert time.monotonic() < deadline, "the monitor published no two snapshots"
        raw = client.get("paperdesk:snapshot")
        if raw and (snapshot := json.loads(raw)) not in seen:
            seen.append(snapshot)
        time.sleep(0.2)
    assert seen[0]["seq"] < seen[1]["seq"]
    return seen[0]


def stop(desk: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Press Ctrl-C and wait; return what is still alive of the desk's processes."""
    family = psutil.Process(desk.pid).children(recursive=True)
    assert len(family) >= 7
    desk.send_signal(signal.SIGINT)
    assert desk.wait(STOP_SECONDS_MAX) == 0
    return [process for process in family if process.is_running()]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a shell that knows no server; the folder serves all desks of this file, one after the other."""
    return bare(tmp_path_factory.mktemp("desk"))


def test_a_desk_comes_up_is_found_and_stops_and_a_second_run_finds_its_data(
    environment: dict[str, str], tmp_path: Path
) -> None:
    data = Path(environment["PAPERDESK_DATA"])
    passwords, lines_before = [], []
    for run in ("first", "second"):
        output = tmp_path / f"{run}.log"
        with running(environment, output) as (desk, address):
            with urllib.request.urlopen(f"{address}/readyz", timeout=60) as answer:
                assert answer.status == 200
            shown = addresses(environment)
            assert shown["decided_by"] | {"data": ""} == dict.fromkeys(shown["decided_by"], "running desk") | {
                "data": ""
            }
            with redis.Redis.from_url(shown["redis_url"]) as client:
                assert client.get("kept") == (None if run == "first" else b"1")
                client.set("kept", "1")
                first = moving_snapshot(client)
                assert first["portfolios"] and first["markets"]
            assert stop(desk) == []
        assert not (data / "desk.json").exists()
        text = output.read_text()
        passwords.append(re.findall(r"^  (analyst|staff|admin) +(\S+)$", text, flags=re.M))
        lines_before.append(text.partition("=====")[0].strip().splitlines())
        assert addresses(environment)["redis_url"] is None
    assert len(passwords[0]) == 3
    assert passwords[0] == passwords[1]
    assert max(len(lines) for lines in lines_before) <= LINES_BEFORE_GREETING_MAX, lines_before
    assert [sum(" tables made" in line for line in lines) for lines in lines_before] == [2, 0]


def test_nothing_lives_on_when_a_desk_is_killed_without_warning(environment: dict[str, str], tmp_path: Path) -> None:
    output = tmp_path / "killed.json"
    with running(environment, output, "--json", up='"addresses"') as (desk, address):
        told = json.loads(output.read_text())
        assert (told["address"], set(told["users"])) == (address, {"analyst", "staff", "approver", "admin"})
        assert told["addresses"]["REDIS_URL"] == addresses(environment)["redis_url"]
        family = psutil.Process(desk.pid).children(recursive=True)
        desk.kill()
        desk.wait()
        _, alive = psutil.wait_procs(family, timeout=5)
        assert len(family) >= 7
        assert alive == []
        assert addresses(environment)["redis_url"] is None, "the dead desk's file decides nothing"
