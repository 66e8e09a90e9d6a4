"""`manage.py settings`: files into the database and back, and one sentence for what is wrong."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from trading.config import DEFAULTS, Defaults, load_desk
from trading.domain.errors import ConfigurationError
from trading.models import Strategy
from trading.settings_desk import current_desk, settings_version
from trading.settings_file import toml_of

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]


def said(*words: str) -> str:
    output = io.StringIO()
    call_command("settings", *words, stdout=output)
    return output.getvalue()


def told(*words: str) -> Any:
    return json.loads(said(*words, "--json"))


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.toml"
    file.write_text(
        DEFAULTS["synthetic"].read_text().replace("entry_threshold_bps = 16", "entry_threshold_bps = 99999")
    )
    return file


SENTENCE = "strategy strategy: entry_threshold_bps is 99999, allowed is -1000 to 10000"


@pytest.mark.parametrize("defaults", DEFAULTS)
def test_an_export_reads_back_as_the_same_desk(defaults: Defaults, tmp_path: Path) -> None:
    said("import", "--defaults", defaults)
    file = tmp_path / "exported.toml"
    file.write_text(said("export"))
    assert load_desk(file) == load_desk(defaults=defaults) == current_desk().desk


def test_texts_are_written_so_that_they_come_back(tmp_path: Path) -> None:
    desk = load_desk()
    odd = type(desk.strategies[0])
    fields = {name: getattr(desk.strategies[0], name) for name in odd.__struct_fields__}
    strange = type(desk)(desk.venues, desk.instruments, (odd(**{**fields, "name": 'a "b" \\ ü\n'}),), 9)
    file = tmp_path / "odd.toml"
    file.write_text(toml_of(strange))
    assert load_desk(file) == strange


def test_an_import_tells_what_it_added_and_changed_and_a_second_one_changes_nothing(tmp_path: Path) -> None:
    first = told("import", "--defaults", "synthetic")
    assert (first["ok"], first["version"], len(first["added"])) == (True, 1, 20)
    file = tmp_path / "desk.toml"
    file.write_text(said("export").replace("leg_out_ms = 500", "leg_out_ms = 650", 1))
    assert told("import", str(file)) == {"ok": True, "version": 2, "added": [], "changed": ["strategy strategy"]}
    assert said("import", str(file)) == "Settings version 2: 0 added, 0 changed.\n"
    assert Strategy.objects.get(pk="strategy").leg_out_ms == 650


def test_what_is_wrong_is_one_sentence_and_changes_nothing(wrong: Path) -> None:
    said("import", "--defaults", "synthetic")
    for verb in ("import", "check"):
        with pytest.raises(ConfigurationError) as caught:
            said(verb, str(wrong))
        assert str(caught.value) == f"{wrong}: {SENTENCE}"
        output = io.StringIO()
        with pytest.raises(SystemExit) as ended:
            call_command("settings", verb, str(wrong), "--json", stdout=output)
        assert ended.value.code == 1
        refused = {"ok": False, "error": f"{wrong}: {SENTENCE}", "field": "entry_threshold_bps"}
        assert json.loads(output.getvalue()) == refused
    assert settings_version() == 1
    assert current_desk().desk == load_desk()


def test_a_check_looks_at_the_database_or_at_a_file_and_changes_neither() -> None:
    assert told("check", "--defaults", "live")["strategies"] > 0
    assert settings_version() == 0
    said("import", "--defaults", "synthetic")
    assert told("check") == {"ok": True, "venues": 3, "instruments": 15, "strategies": 2}
    Strategy.objects.filter(pk="strategy").update(entry_threshold_bps=Decimal(99999))  # past every check
    with pytest.raises(ConfigurationError, match=SENTENCE):
        said("check")
