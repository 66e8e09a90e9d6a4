"""Wrong input and servers that are away: one sentence on standard error, a status, and nothing changed."""

import subprocess
import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest
import redis

from paperdesk.embedded.ports import free_port
from paperdesk.environment import BASE_DIR
from tests.desk.typed import manage

COMMANDS = ("check_invariants", "settings check")


def refused(environment: Mapping[str, str], *words: str, status: int = 1) -> str:
    """The sentence with which a command was refused; it stands alone."""
    done = manage(environment, *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_the_data_folder(command: str, bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    other = tmp_path / "other"
    done = manage(bare_environment, *command.split(), "--data", str(other))
    assert done.returncode == 1  # no desk runs there
    assert (other / "secret_key").exists()


def test_a_shortened_option_is_refused_and_not_overlooked(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    sentence = refused(bare_environment, "showenv", "--dat", str(tmp_path / "other"), status=2)
    assert "unrecognized arguments: --dat" in sentence


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("desk", "--port", "0"), "argument --port: '0' is not a port from 1 to 65535"),
        (("desk", "--port", "99999"), "argument --port: '99999' is not a port from 1 to 65535"),
        (("verify_stores", "--recheck-seconds", "-1"), "argument --recheck-seconds: '-1' is not a number of seconds"),
        (("verify_stores", "--recheck-seconds", "nan"), "argument --recheck-seconds: 'nan' is not a number of seconds"),
        (("footprint", "--seconds", "inf"), "argument --seconds: 'inf' is not a number of seconds"),
    ],
)
def test_a_number_out_of_range_is_named(
    words: tuple[str, ...], reason: str, bare_environment: Mapping[str, str]
) -> None:
    assert refused(bare_environment, *words, status=2) == f"Error: {reason} (see manage.py {words[0]} --help)"


def test_commands_of_django_refuse_in_a_sentence_too(bare_environment: Mapping[str, str]) -> None:
    sentence = refused(bare_environment, "migrate", "nosuchapp", status=2)
    assert sentence == "Error: No installed app with label 'nosuchapp'. (see manage.py migrate --help)"


def test_a_data_folder_that_cannot_be_is_named(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for data, reason in ((file, "File exists"), (file / "below", "Not a directory")):
        sentence = refused({**bare_environment, "PAPERDESK_DATA": str(data)}, "showenv")
        assert sentence == f"Error: the data folder {data} cannot be made: {reason}"


def test_a_duckdb_path_that_cannot_be_is_named(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database, but long enough to be looked at as one " * 100)
    for path, reason in ((tmp_path, "is a folder"), (text, "cannot be opened")):
        done = manage({**bare_environment, "DUCKDB_PATH": str(path)}, "warehouse", "status")
        assert done.returncode == 1
        assert done.stderr.startswith(f"not done: {path} {reason}")
        assert "Traceback" not in done.stderr


def test_a_postgresql_that_is_away_is_one_sentence_without_its_password(bare_environment: Mapping[str, str]) -> None:
    environment = {**bare_environment, "DATABASE_URL": f"postgres://me:secret@127.0.0.1:{free_port()}/desk"}
    done = manage(environment, "migrate")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert done.stderr.startswith("Error: the database desk at 127.0.0.1:")
    assert "secret" not in done.stderr


@pytest.mark.parametrize("name", ["REDIS_URL", "CLICKHOUSE_URL"])
def test_a_port_that_cannot_be_is_an_error_of_its_setting(name: str, bare_environment: Mapping[str, str]) -> None:
    url = f"{'redis' if name == 'REDIS_URL' else 'http'}://127.0.0.1:99999/0"
    assert refused({**bare_environment, name: url}, "showenv").startswith(f"Error: {name} is {url!r}; it must look")


def test_a_monitor_that_has_nothing_to_look_at_says_so(
    bare_environment: Mapping[str, str], redis_server: str, redis_client: redis.Redis
) -> None:
    sentence = refused({**bare_environment, "REDIS_URL": redis_server}, "run_monitor", "--once", "--json")
    assert sentence == "no tick: no engine has started, or another monitor is at work"


def test_ctrl_c_ends_a_command_with_a_sentence_and_status_130() -> None:
    code = """
        import os, signal, time
        import manage
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job inherits that it is ignored
        manage.execute_from_command_line = lambda words: (os.kill(os.getpid(), signal.SIGINT), time.sleep(9))
        manage.main(["manage.py", "verify_stores"])
    """
    words = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(words, cwd=BASE_DIR, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (130, "stopped by Ctrl-C\n")
