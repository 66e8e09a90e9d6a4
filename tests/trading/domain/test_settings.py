"""Settings: declared once, refused with whose they are, the field and the value."""

from decimal import Decimal
from typing import Any

import pytest

from paperdesk.environment import BASE_DIR
from tests.trading.engine.scene import strategy
from trading.domain.errors import ConfigurationError
from trading.domain.instruments import Instrument, Venue
from trading.domain.settings import read_as, settings_of
from trading.domain.strategy import Strategy
from trading.settings_guide import guide

FIELDS: dict[str, Any] = {"prefix": "second", "name": "Second", "pairs": [{"long": "a:X", "short": "b:X"}]}
SETTINGS = {setting.name: setting for setting in settings_of(Strategy)}


@pytest.mark.parametrize("kind", [Strategy, Venue, Instrument])
def test_every_setting_says_what_it_means_and_every_number_its_unit_and_range(kind: type) -> None:
    for setting in settings_of(kind):
        assert len(setting.meaning) > 20, setting.name
        if setting.kind in ("integer", "decimal"):
            assert setting.unit and setting.low is not None and setting.high is not None, setting.name
            assert setting.required or setting.low <= setting.default <= setting.high, setting.name


def test_a_setting_is_read_by_machines() -> None:
    exact = SETTINGS["leg_out_ms"]
    assert (exact.kind, exact.unit, exact.low, exact.high, exact.default) == (
        "integer",
        "milliseconds",
        1,
        3_600_000,
        500,
    )
    policy = SETTINGS["entry_policy"]
    assert (policy.kind, policy.default) == ("choice", "both_passive")
    assert policy.choices == ("both_passive", "passive_then_take", "both_take")
    assert SETTINGS["prefix"].required and SETTINGS["pairs"].kind == "list"
    shortable = {setting.name: setting for setting in settings_of(Instrument)}["shortable"]
    assert (shortable.kind, shortable.optional, shortable.default) == ("yes_no", True, None)


def test_the_guide_is_the_one_in_the_docs() -> None:
    written = (BASE_DIR / "docs" / "settings.md").read_text(encoding="utf-8")
    assert written == guide(), "write it anew: python manage.py settings_guide > docs/settings.md"
    assert "| `loss_limit_bps` |" in written


def test_settings_of_a_form_are_texts() -> None:
    read = read_as(Strategy, {**FIELDS, "leg_out_ms": "250", "profit_target_bps": "4.5"}, "strategy second")
    assert (read.leg_out_ms, read.profit_target_bps) == (250, Decimal("4.5"))


@pytest.mark.parametrize("name", [name for name, each in SETTINGS.items() if each.kind in ("integer", "decimal")])
def test_each_number_outside_its_range_is_refused_by_name(name: str) -> None:
    setting = SETTINGS[name]
    assert setting.low is not None and setting.high is not None
    for value in (setting.low - 1, setting.high + 1):
        with pytest.raises(ConfigurationError) as caught:
            strategy(**{name: value})
        assert str(caught.value) == f"strategy strategy: {name} is {value}, allowed is {setting.range_text}"
        assert caught.value.field == name


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"leg_out_ms": "soon"}, "leg_out_ms", "strategy second: leg_out_ms is soon: Expected `int`, got `str`"),
        ({"hedge": "pray"}, "hedge", "strategy second: hedge is pray: Invalid enum value 'pray'"),
        ({"luck": 1}, "luck", "strategy second: luck is 1: no such setting"),
        ({"pairs": []}, "pairs", "strategy second: pairs is empty, nothing could ever be traded"),
        ({"loss_limit_bps": "Infinity"}, "loss_limit_bps", "strategy second: loss_limit_bps is Infinity, nan and "),
        ({"prefix": "Second!"}, "prefix", "strategy: prefix is 'Second!', it must match ^[a-z]"),
    ],
)
def test_what_a_form_has_wrong_is_named(fields: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_as(Strategy, {**FIELDS, **fields}, "strategy second")
    assert (str(caught.value)[: len(words)], caught.value.field) == (words, field)


def test_a_missing_field_is_named() -> None:
    with pytest.raises(ConfigurationError, match="strategy second: name is missing") as caught:
        read_as(Strategy, {"prefix": "second", "pairs": FIELDS["pairs"]}, "strategy second")
    assert caught.value.field == "name"
