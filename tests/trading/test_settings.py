"""Settings in the database: loaded, changed as one desk, versioned, and relayed into the stream."""

import datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import transaction

from paperdesk.models import OutboxRow
from paperdesk.outbox import NoTransaction, canonical_row, record
from paperdesk.tables import TABLES
from trading.config import DEFAULTS, Defaults, load_desk
from trading.domain.errors import ConfigurationError
from trading.models import DeskSettings, Instrument, Strategy, Venue
from trading.settings_columns import pairs_of_text, text_of_pairs
from trading.settings_desk import current_desk, settings_version
from trading.settings_service import Saved, settings_import, settings_save, settings_seed
from trading.stores.outbox import row_of_text

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

NOW_US = 1_763_000_000_000_000
D = Decimal


def later(seconds: int) -> int:
    return NOW_US + seconds * 1_000_000


def save(*rows: Any, seconds: int = 1) -> Saved:
    return settings_save(rows, "ann", later(seconds))


def strategy(prefix: str = "strategy", **changes: Any) -> Strategy:
    """The stored strategy with changes that are not saved."""
    row = Strategy.objects.get(pk=prefix)
    for name, value in changes.items():
        setattr(row, name, value)
    return row


@pytest.fixture
def seeded() -> Saved:
    saved = settings_seed("synthetic", NOW_US)
    assert saved is not None
    return saved


@pytest.mark.parametrize("defaults", DEFAULTS)
def test_shipped_settings_come_back_from_the_database_as_the_same_desk(defaults: Defaults) -> None:
    saved = settings_seed(defaults, NOW_US)
    shipped = load_desk(defaults=defaults)
    assert saved is not None and saved.version == 1
    assert len(saved.added) == len(shipped.venues) + len(shipped.instruments) + len(shipped.strategies)
    found = current_desk()
    assert found.version == 1
    assert found.desk == shipped


def test_a_database_that_has_settings_is_not_seeded_again(seeded: Saved) -> None:
    save(strategy(entry_threshold_bps=D("17.5")))
    assert settings_seed("live", later(9)) is None
    assert settings_version() == 2
    assert strategy().entry_threshold_bps == D("17.5")
    assert not Venue.objects.filter(name="binanceusdm").exists()


def test_a_row_that_got_a_new_column_since_is_recorded_again_once(seeded: Saved) -> None:
    Strategy.objects.filter(pk="strategy").update(row_hash=7)
    sent, version = OutboxRow.objects.count(), strategy().version
    settings_seed("synthetic", later(9))
    renewed = strategy()
    assert renewed.version > version and renewed.changed_by == "upgrade"
    assert renewed.row_hash == canonical_row(renewed)["row_hash"]
    assert OutboxRow.objects.latest("pk").row_hash == renewed.row_hash
    settings_seed("synthetic", later(10))
    assert OutboxRow.objects.count() == sent + 1


def test_a_change_raises_the_version_once_and_what_is_as_it_was_does_not(seeded: Saved) -> None:
    assert save(strategy(leg_out_ms=750), strategy("strategy_complete", leg_out_ms=750)) == Saved(
        2, (), ("strategy strategy", "strategy strategy_complete")
    )
    assert [(row.settings_version, row.changed_by) for row in Strategy.objects.all()] == [(2, "ann"), (2, "ann")]
    assert Venue.objects.get(name="okx").settings_version == 1
    assert save(strategy(leg_out_ms=750)) == Saved(2)
    assert OutboxRow.objects.filter(table="strategy").count() == 4


def test_each_change_is_in_the_history_with_what_was_before(seeded: Saved) -> None:
    save(strategy(entry_threshold_bps=D(18)))
    newest, oldest = strategy().history.all()
    assert (oldest.entry_threshold_bps, newest.entry_threshold_bps) == (D(16), D(18))
    assert [change.field for change in newest.diff_against(oldest).changes] == ["entry_threshold_bps"]


@pytest.mark.parametrize(
    ("changes", "field", "sentence"),
    [
        ({"leg_out_ms": 0}, "leg_out_ms", "strategy strategy: leg_out_ms is 0, allowed is 1 to 3600000"),
        ({"hedge": "pray"}, "hedge", "strategy strategy: hedge is pray: Invalid enum value 'pray'"),
        (
            {"position_size_usd": D(30000)},
            "position_size_usd",
            "strategy strategy: position_size_usd is 30000, more than starting_capital 20000",
        ),
        ({"pairs": ""}, "pairs", "strategy strategy: pairs is empty, nothing could ever be traded"),
        ({"pairs": "a > b > c"}, "pairs", "pairs: line 1 is 'a > b > c', it must be \"LONG > SHORT\""),
    ],
)
def test_what_one_row_must_not_be_is_refused_beside_its_field_and_nothing_changes(
    seeded: Saved, changes: dict[str, Any], field: str, sentence: str
) -> None:
    before = OutboxRow.objects.count()
    wrong = strategy(**changes)
    with pytest.raises(ValidationError) as beside:
        wrong.clean()
    assert beside.value.message_dict == {field: [sentence]}
    with pytest.raises(ConfigurationError) as caught:
        save(wrong)
    assert (str(caught.value), caught.value.field) == (sentence, field)
    assert (settings_version(), OutboxRow.objects.count()) == (1, before)
    assert current_desk().desk == load_desk()


def test_what_only_the_whole_desk_shows_is_refused_too(seeded: Saved) -> None:
    perpetual = Instrument.objects.get(pk="okx:BTCUSDT")
    perpetual.shortable = False
    with pytest.raises(ConfigurationError, match="strategy strategy: pair binance:BTCUSDT / okx:BTCUSDT: okx:BTCUSDT"):
        save(perpetual)
    with pytest.raises(ConfigurationError, match="instrument 'mars:BTCUSDT' is not declared"):
        save(strategy(pairs="binance:BTCUSDT > mars:BTCUSDT"))
    assert current_desk().desk == load_desk()
    assert Instrument.objects.get(pk="okx:BTCUSDT").shortable is None


def test_one_wrong_row_keeps_back_the_right_ones_that_come_with_it(seeded: Saved) -> None:
    with pytest.raises(ConfigurationError, match="leg_out_ms is 0"):
        save(strategy(leg_out_ms=900), strategy("strategy_complete", leg_out_ms=0))
    assert strategy().leg_out_ms == 500


@pytest.mark.parametrize(("field", "value"), [("starting_capital", D(50000)), ("capital_mode", "compounding")])
def test_what_a_portfolio_is_measured_against_never_changes(seeded: Saved, field: str, value: Any) -> None:
    before = getattr(strategy(), field)
    with pytest.raises(ConfigurationError) as caught:
        save(strategy(**{field: value}))
    assert str(caught.value) == (
        f"strategy strategy: {field} is {value}, it is fixed at {before} since the strategy exists; "
        "copy it as a new one instead"
    )
    assert getattr(strategy(), field) == before


def test_an_import_adds_and_changes_what_it_names_and_leaves_the_rest(seeded: Saved) -> None:
    saved = settings_import(load_desk(defaults="replay"), "ann", later(1))
    assert "instrument binanceusdm:BTCUSDT" in saved.added
    assert set(saved.changed) == {
        "venue binance",
        "instrument binance:BTCUSDT",
        "strategy strategy",
        "strategy strategy_complete",
    }
    desk = current_desk().desk
    assert [venue.name for venue in desk.venues] == ["binance", "bybit", "okx", "binanceusdm"]
    assert desk.strategies == load_desk(defaults="replay").strategies


def test_an_import_of_only_these_switches_the_others_off(seeded: Saved) -> None:
    shipped = load_desk()
    first = type(shipped)(shipped.venues, shipped.instruments, shipped.strategies[:1])
    assert settings_import(first, "ann", later(1), only_these=True).changed == ("strategy strategy_complete",)
    assert [(row.prefix, row.enabled) for row in Strategy.objects.all()] == [
        ("strategy", True),
        ("strategy_complete", False),
    ]


def test_versions_grow_past_those_of_a_database_that_was_lost(seeded: Saved) -> None:
    first = strategy().version
    assert first == NOW_US
    save(strategy(leg_out_ms=600), seconds=-5)  # a clock that stepped back
    assert strategy().version == first + 1


def test_the_outbox_has_exactly_the_row_that_was_saved_and_its_hash(seeded: Saved) -> None:
    save(strategy(entry_threshold_bps=D("16.000000000001")))
    kept = OutboxRow.objects.filter(table="strategy", key="strategy").last()
    assert kept is not None
    row = row_of_text(TABLES["strategy"].columns, kept.row)
    assert row == canonical_row(strategy())
    assert row["entry_threshold_bps"] == D("16.000000000001")
    assert row["row_hash"] == kept.row_hash == strategy().row_hash
    assert strategy().day == datetime.date(2025, 11, 13)


def test_a_version_whose_transaction_fails_leaves_no_outbox_row(seeded: Saved) -> None:
    before = OutboxRow.objects.count()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        record(strategy(leg_out_ms=999), later(5), "ann")
        raise ZeroDivisionError
    assert OutboxRow.objects.count() == before
    assert strategy().leg_out_ms == 500


@pytest.mark.django_db(transaction=True)
def test_a_row_is_recorded_within_a_transaction_only() -> None:
    with pytest.raises(NoTransaction, match="venue a: a born row is recorded within a transaction only"):
        record(Venue(name="a", maker_fee_rate=D(0), taker_fee_rate=D(0)), NOW_US, "ann")
    assert not DeskSettings.objects.exists()


def test_pairs_are_lines_and_come_back_as_they_were() -> None:
    pairs = [{"long": "a:X", "short": "b:X"}, {"long": "b:X", "short": "a:X"}]
    assert text_of_pairs(pairs) == "a:X > b:X\nb:X > a:X"
    assert pairs_of_text("  a:X>b:X \n\n b:X > a:X\n") == pairs
