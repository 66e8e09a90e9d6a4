"""The desk's commands as a person types them: each in a process of its own."""

import json
import os
import socket
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from paperdesk.embedded.desk_file import Desk, desk_lock, running_desk, write_desk
from paperdesk.embedded.ports import free_port
from tests.desk.typed import manage


def test_showenv_json_has_the_addresses_and_who_decided_them(
    bare_environment: Mapping[str, str], tmp_path: Path
) -> None:
    environment = {**bare_environment, "CLICKHOUSE_URL": "http://default:secret@host:8123/paperdesk"}
    shown = json.loads(manage(environment, "showenv", "--json").stdout)
    data = str(tmp_path / "data")
    assert shown == {
        "redis_url": None,
        "clickhouse_url": "http://default:secret@host:8123/paperdesk",
        "duckdb_path": f"{data}/paperdesk.duckdb",
        "database_url": f"sqlite:///{data}/paperdesk.sqlite3",
        "data": data,
        "decided_by": {
            "redis_url": "default",
            "clickhouse_url": "environment variable",
            "duckdb_path": "default",
            "database_url": "default",
            "data": "environment variable",
        },
        "redis_fsync": None,
    }


def test_showenv_prints_whole_addresses_however_narrow_the_terminal(bare_environment: Mapping[str, str]) -> None:
    address = f"http://{'a-long-host-name.' * 8}example.org:8123/paperdesk"
    assert address in manage({**bare_environment, "CLICKHOUSE_URL": address, "COLUMNS": "40"}, "showenv").stdout


def test_showenv_masks_passwords_for_people(bare_environment: Mapping[str, str]) -> None:
    environment = {**bare_environment, "CLICKHOUSE_URL": "http://default:secret@host:8123/paperdesk"}
    shown = manage(environment, "showenv").stdout
    assert "http://default:***@host:8123/paperdesk" in shown
    assert "secret" not in shown


def test_showenv_says_how_soon_redis_writes_to_its_disk(bare_environment: Mapping[str, str], redis_server: str) -> None:
    said = "appendfsync everysec: a killed Redis loses nothing, a machine that fails at most a second"
    environment = {**bare_environment, "REDIS_URL": redis_server}
    assert json.loads(manage(environment, "showenv", "--json").stdout)["redis_fsync"] == said
    assert said in manage(environment, "showenv").stdout
    away = {**bare_environment, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    assert "appendfsync unknown, Redis does not answer" in manage(away, "showenv").stdout


def test_showenv_finds_a_running_desk(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    started = psutil.Process().create_time()
    write_desk(tmp_path / "data", Desk(os.getpid(), started, "http://127.0.0.1:1", {"REDIS_URL": "redis://desk:1/0"}))
    shown = json.loads(manage(bare_environment, "showenv", "--json").stdout)
    assert (shown["redis_url"], shown["decided_by"]["redis_url"]) == ("redis://desk:1/0", "running desk")


def test_data_as_an_argument_is_the_data_folder_of_any_command(
    bare_environment: Mapping[str, str], tmp_path: Path
) -> None:
    refused = manage(bare_environment, "footprint", "--data", str(tmp_path / "other"))
    assert refused.returncode == 1
    assert f"no desk runs on {tmp_path}/other" in refused.stderr


def test_an_unknown_setting_is_one_sentence_and_status_1(bare_environment: Mapping[str, str]) -> None:
    refused = manage({**bare_environment, "PAPERDESK_PORT": "1"}, "check")
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: the environment sets PAPERDESK_PORT, which PaperDesk does not know")
    assert len(refused.stderr.splitlines()) == 1


def test_a_port_in_use_is_one_sentence_before_anything_starts(
    bare_environment: Mapping[str, str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        refused = manage(bare_environment, "desk", "--port", port)
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith(
        f"port {port} is in use; stop what listens there, or give another --port"
    )
    assert not (tmp_path / "data" / "redis").exists()


def test_a_second_desk_on_the_same_data_is_refused(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    data = tmp_path / "data"
    with desk_lock(data):
        write_desk(data, Desk(os.getpid(), psutil.Process().create_time(), "http://127.0.0.1:8000"))
        refused = manage(bare_environment, "desk", "--port", str(free_port()))
        assert running_desk(data) is not None, "the first desk's file must stay"
    assert refused.returncode == 1
    expected = f"a desk already runs on {data} (pid {os.getpid()}, http://127.0.0.1:8000); stop it, or give another"
    assert expected in refused.stderr


@pytest.mark.parametrize("feed", ["foo", "replay:", "replay:nowhere.gz", "ccxt"])
def test_a_feed_that_cannot_be_is_refused(bare_environment: Mapping[str, str], feed: str) -> None:
    refused = manage(bare_environment, "desk", "--feed", feed)
    assert refused.returncode == 1
    assert refused.stderr.startswith("Error: feed ")


def test_a_desk_on_a_redis_that_is_away_is_refused(bare_environment: Mapping[str, str]) -> None:
    refused = manage({**bare_environment, "REDIS_URL": "redis://127.0.0.1:1/0"}, "desk", "--port", str(free_port()))
    assert refused.returncode == 1
    assert "Redis at redis://127.0.0.1:1/0 does not answer" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_secret_key_is_made_once_and_kept_for_its_owner(bare_environment: Mapping[str, str], tmp_path: Path) -> None:
    manage(bare_environment, "showenv")
    file = tmp_path / "data" / "secret_key"
    first = file.read_text()
    manage(bare_environment, "showenv")
    assert file.read_text() == first
    assert len(first) >= 50
    assert file.stat().st_mode & 0o777 == 0o600
