"""Every command as a person types it wrongly, or while a server is away: one sentence, a status, no traceback.

The commands are those of our apps' folders, so that a new one is looked at without being listed here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import load_command_class
from redis import Redis

import manage as command_line
from paperdesk.command import DeskCommand
from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from tests.desk.typed import manage_each
from trading.config import DEFAULTS

APPS = ("paperdesk", "results", "trading")
COMMANDS = {
    file.stem: app for app in APPS for file in sorted((BASE_DIR / app / "management" / "commands").glob("[a-z]*.py"))
}
NEEDED = {"settings": ["check"], "warehouse": ["status"], "import_capture": ["x", "--out", "y"], "replay": ["x"]}
NEEDED["record"] = ["--out", "x"]
NEEDED |= {"backup": ["x"], "restore": ["x"], "export": ["trade_result", "--out", "x"]}
NEED_REDIS = (
    "check_invariants",
    "verify_stores",
    "sync_results",
    "sync_results --follow",
    "run_monitor",
    "run_monitor --once",
    "backup {folder}/x",
    "run_engine",
    "replay {capture} --here",
)
CAPTURE = '1700000000000000000 {{"e":"depthUpdate"}}\n'


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, output and errors of `manage.py WORDS`, in this process."""
    with pytest.raises(SystemExit) as ended:
        command_line.main(["manage.py", *words])
    said = capsys.readouterr()
    code = ended.value.code
    if isinstance(code, str):  # the interpreter prints it and ends with 1
        return 1, said.out, f"{said.err}{code}\n"
    return int(code or 0), said.out, said.err


def assert_one_sentence(errors: str, begins: str = "Error: ") -> None:
    assert len(errors.splitlines()) == 1, errors
    assert errors.startswith(begins)
    assert not any(word in errors for word in ("Traceback", "CommandError", "usage:"))


def test_the_folders_are_read() -> None:
    assert {"desk", "replay", "verify_stores", "settings_guide"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_an_unknown_option_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = typed(capsys, name, *NEEDED.get(name, []), "--no-such-option")
    assert (status, output) == (2, "")
    assert_one_sentence(errors)
    assert errors == f"Error: unrecognized arguments: --no-such-option (see manage.py {name} --help)\n"


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_missing_argument_is_one_sentence(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = typed(capsys, name)
    assert (status, output) == (2, "")
    assert_one_sentence(errors)
    assert "the following arguments are required: " in errors


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_json_and_the_data_folder_and_nothing_of_django(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status, output, errors = typed(capsys, name, *NEEDED.get(name, [])[: name == "settings"], "--help")
    assert (status, errors) == (0, "")
    assert "--json" in output
    assert "--data DIR" in output
    assert not any(word in output for word in ("--settings", "--pythonpath", "--verbosity", "--force-color"))
    command = load_command_class(COMMANDS[name], name)
    assert isinstance(command, DeskCommand)
    assert command.help


def test_a_redis_that_is_away_is_one_sentence(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    capture = tmp_path / "btcusdt.gz"
    capture.write_text(CAPTURE)
    environment = {**bare_environment, "REDIS_URL": "redis://:secret@127.0.0.1:1/0"}
    lines = [f"{words.format(capture=f'binance={capture}', folder=tmp_path)} --json" for words in NEED_REDIS]
    for words, (status, output, errors) in zip(lines, manage_each(environment, *lines), strict=True):
        assert (status, output) == (1, ""), words
        assert_one_sentence(errors)
        assert "Redis" in errors, words
        assert "secret" not in errors, words


def test_no_desk_and_no_redis_is_one_sentence_that_says_what_to_do(bare_environment: Mapping[str, str]) -> None:
    for status, output, errors in manage_each(bare_environment, *(f"{words} --json" for words in NEED_REDIS[:-1])):
        assert (status, output) == (1, "")
        assert errors == "Error: No Redis is running here: start the desk with `make run` or set REDIS_URL\n"


def test_a_clickhouse_that_is_away_is_one_sentence_and_duckdb_has_its_turn(
    bare_environment: Mapping[str, str],
) -> None:
    environment = {**bare_environment, "CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}/paperdesk"}
    lines = ("warehouse migrate --json", "warehouse status --json")
    for status, output, errors in manage_each(environment, *lines):
        assert status == 1
        assert_one_sentence(errors, "not done: ClickHouse at 127.0.0.1:")
        assert "is away: Connection refused" in errors
        told = json.loads(output)
        assert (told["ok"], told["clickhouse"]["retryable"], "error" in told["duckdb"]) == (False, True, False)


@pytest.mark.parametrize("database", ["no tables", "away"])
def test_a_database_that_cannot_be_used_is_one_sentence(database: str, bare_environment: Mapping[str, str]) -> None:
    away = {"DATABASE_URL": f"postgres://me:secret@127.0.0.1:{free_port()}/desk"} if database == "away" else {}
    lines = ("settings check", "settings export", "settings import --defaults live")
    for status, output, errors in manage_each({**bare_environment, **away}, *lines):
        assert (status, output) == (1, "")
        assert_one_sentence(errors)
        assert ("manage.py migrate makes them" in errors) == (database == "no tables")
        assert "secret" not in errors


@pytest.mark.parametrize(
    ("words", "mark"),
    [("record --feed synthetic --out {folder}/out.gz --json", ""), ("run_engine --json --strategy {desk}", "started")],
)
def test_ctrl_c_ends_what_lasts_with_what_was_done(
    words: str, mark: str, bare_environment: Mapping[str, str], redis_client: Redis, tmp_path: Path
) -> None:
    environment = {**bare_environment, "REDIS_URL": settings.REDIS_URL}
    command = [sys.executable, "manage.py", *words.format(folder=tmp_path, desk=DEFAULTS["synthetic"]).split()]
    log = tmp_path / "errors.log"
    with open(log, "w") as errors:
        process = subprocess.Popen(command, cwd=BASE_DIR, env=environment, stdout=subprocess.PIPE, stderr=errors)
    while not (mark in log.read_text() if mark else (tmp_path / "out.gz").exists()):
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert (process.returncode, "Traceback" in log.read_text()) == (0 if mark else process.returncode, False)
    assert json.loads(output)
    redis_client.flushall()


def test_a_reader_that_went_away_is_no_error(bare_environment: Mapping[str, str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "manage.py", "settings_guide"]
    done = subprocess.run(command, cwd=BASE_DIR, env=dict(bare_environment), stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_settings_are_told_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    command_line.main(["manage.py", "settings_guide", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert set(told) == {"strategies", "venues", "instruments"}
    leg_out = next(each for each in told["strategies"] if each["name"] == "leg_out_ms")
    assert (leg_out["unit"], leg_out["default"], leg_out["required"]) == ("milliseconds", 500, False)
