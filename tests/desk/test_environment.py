"""Who decides an address, and what is refused."""

import json
import os
from pathlib import Path

import psutil
import pytest

from paperdesk.embedded.desk_file import Desk, running_desk, write_desk
from paperdesk.environment import Environment, UnknownSetting, http_url, masked, read_environment, service_url
from paperdesk.errors import ConfigurationError
from tests.faults.disk import no_longer_files


def variables(tmp_path: Path, dotenv: str = "", **more: str) -> dict[str, str]:
    """Variables of a shell whose `.env` holds the given text and whose data folder is tmp_path."""
    (tmp_path / "env").write_text(dotenv)
    return {"PAPERDESK_ENV_FILE": str(tmp_path / "env"), "PAPERDESK_DATA": str(tmp_path), **more}


def run_a_desk(tmp_path: Path, redis_url: str) -> None:
    """Write the desk file of this very process."""
    started = psutil.Process().create_time()
    write_desk(tmp_path, Desk(os.getpid(), started, "http://127.0.0.1:1", {"REDIS_URL": redis_url}))


def test_a_variable_wins_over_the_file_the_file_over_a_desk_and_a_desk_over_the_default(tmp_path: Path) -> None:
    assert read_environment(variables(tmp_path)).decide("REDIS_URL", "none").decided_by == "default"

    run_a_desk(tmp_path, "redis://desk:1/0")
    by_desk = read_environment(variables(tmp_path)).decisions()["redis_url"]
    assert (by_desk.value, by_desk.decided_by) == ("redis://desk:1/0", "running desk")

    dotenv = "REDIS_URL=redis://file:1/0\n"
    by_file = read_environment(variables(tmp_path, dotenv)).decisions()["redis_url"]
    assert (by_file.value, by_file.decided_by) == ("redis://file:1/0", ".env")

    shell = variables(tmp_path, dotenv, REDIS_URL="redis://shell:1/0")
    by_variable = read_environment(shell).decisions()["redis_url"]
    assert (by_variable.value, by_variable.decided_by) == ("redis://shell:1/0", "environment variable")


def test_an_empty_variable_is_an_unset_one(tmp_path: Path) -> None:
    shell = variables(tmp_path, "REDIS_URL=redis://file:1/0\n", REDIS_URL="")
    assert read_environment(shell).decide("REDIS_URL").decided_by == ".env"


def test_stores_default_into_the_data_folder(tmp_path: Path) -> None:
    decisions = read_environment(variables(tmp_path)).decisions()
    assert decisions["duckdb_path"].value == f"{tmp_path}/paperdesk.duckdb"
    assert decisions["database_url"].value == f"sqlite:///{tmp_path}/paperdesk.sqlite3"
    assert decisions["redis_url"].value == decisions["clickhouse_url"].value == ""


def test_the_file_of_a_dead_desk_decides_nothing(tmp_path: Path) -> None:
    write_desk(tmp_path, Desk(os.getpid(), 1.0, "http://127.0.0.1:1", {"REDIS_URL": "redis://dead:1/0"}))
    assert read_environment(variables(tmp_path)).decide("REDIS_URL").decided_by == "default"


def test_a_broken_desk_file_decides_nothing(tmp_path: Path) -> None:
    (tmp_path / "desk.json").write_text('{"pid": 1')
    assert read_environment(variables(tmp_path)).decide("REDIS_URL").decided_by == "default"


def test_a_desk_file_is_for_its_owner_only(tmp_path: Path) -> None:
    run_a_desk(tmp_path, "redis://desk:1/0")
    assert (tmp_path / "desk.json").stat().st_mode & 0o777 == 0o600
    assert json.loads((tmp_path / "desk.json").read_text())["pid"] == os.getpid()


def test_a_desk_file_that_the_disk_has_no_room_for_stays_as_it_was(tmp_path: Path) -> None:
    run_a_desk(tmp_path, "redis://desk:1/0")
    before = running_desk(tmp_path)
    with no_longer_files(os.getpid()), pytest.raises(OSError, match="File too large"):
        run_a_desk(tmp_path, "redis://desk:2/0")
    assert before is not None
    assert running_desk(tmp_path) == before
    assert [file.name for file in tmp_path.iterdir()] == ["desk.json"]


def test_an_unknown_variable_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="sets PAPERDESK_FED, .* did you mean PAPERDESK_FEED"):
        read_environment(variables(tmp_path, PAPERDESK_FED="synthetic"))


def test_an_unknown_key_of_the_file_is_named_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(UnknownSetting, match="env sets REDIS_ULR, .* did you mean REDIS_URL"):
        read_environment(variables(tmp_path, "REDIS_ULR=redis://x\n"))


def test_a_flag_that_is_neither_yes_nor_no_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="DEBUG is 'maybe'"):
        read_environment(variables(tmp_path, DEBUG="maybe")).flag("DEBUG")
    assert read_environment(variables(tmp_path, DEBUG="On")).flag("DEBUG") is True
    assert read_environment(variables(tmp_path)).flag("DEBUG") is False


def test_cache_and_broker_use_the_next_database_of_the_same_redis() -> None:
    assert service_url("redis://:secret@host:6379/3") == "redis://:secret@host:6379/4"
    assert service_url("redis://host:6379") == "redis://host:6379/1"
    assert service_url("") == ""
    with pytest.raises(ConfigurationError, match="must look like redis://host:6379/0"):
        service_url("http://host/0")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"# ours\n\nDEBUG=no\nREDIS_URL redis://host:1/0\n", "line 4: not of the form NAME=value"),
        (b"REDIS_URL = redis://host:1/0", "line 1: not of the form NAME=value"),
        (b"\xff\xfe", "not a text file in UTF-8"),
    ],
)
def test_a_garbled_env_file_is_named_and_not_overlooked(tmp_path: Path, text: bytes, sentence: str) -> None:
    shell = variables(tmp_path)
    (tmp_path / "env").write_bytes(text)
    with pytest.raises(ConfigurationError, match=f"^{tmp_path}/env: {sentence}$"):
        read_environment(shell)


def test_passwords_are_masked_for_people() -> None:
    assert masked("redis://user:secret@host:6379/0") == "redis://user:***@host:6379/0"
    assert masked("postgres://me:a/b@c@host/desk") == "postgres://me:***@host/desk"
    assert masked("redis://:secret@host:99999/0") == "redis://:***@host:99999/0"
    assert masked("sqlite:////a:b@c/desk") == "sqlite:////a:b@c/desk"
    assert masked("/var/paperdesk.duckdb") == "/var/paperdesk.duckdb"


def test_a_clickhouse_address_is_an_http_one() -> None:
    assert http_url("CLICKHOUSE_URL", "https://me:secret@host/db") == "https://me:secret@host/db"
    assert http_url("CLICKHOUSE_URL", "") == ""
    with pytest.raises(ConfigurationError, match=r"CLICKHOUSE_URL is 'clickhouse://me:\*\*\*@host'; it must look like"):
        http_url("CLICKHOUSE_URL", "clickhouse://me:secret@host")


@pytest.mark.parametrize("given", ["0", "-1", "1.5", "ninety", "36501", "９０"])
def test_a_number_of_days_that_is_none_is_refused_with_its_value(given: str) -> None:
    environment = Environment({"PAPERDESK_TABLES_DAYS": given}, {}, {})
    with pytest.raises(ConfigurationError, match=f"PAPERDESK_TABLES_DAYS is '{given}'; it must be a whole number"):
        environment.days("PAPERDESK_TABLES_DAYS", 90)


def test_a_number_of_days_is_read_or_the_default() -> None:
    assert Environment({"PAPERDESK_TABLES_DAYS": "7"}, {}, {}).days("PAPERDESK_TABLES_DAYS", 90) == 7
    assert Environment({}, {}, {}).days("PAPERDESK_TABLES_DAYS", 90) == 90
