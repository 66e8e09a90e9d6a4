"""Old rows leave the Django tables once the other stores have them; what compares and answers goes by that."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

import pytest
from django.test import Client

from paperdesk.mirror import window_began
from results.models import FollowerWatermark, ReviewCase, TradeResult
from results.pipeline.clickhouse_tables import ClickHouseTables
from results.pipeline.keep import window as window_module
from results.pipeline.keep.window import Window
from results.pipeline.mirror import model_of
from results.pipeline.verify.comparison import Kind
from results.stores.failures import ClickHouseAway
from results.stores.schema import TABLES
from tests.results.pipeline.made import Side
from tests.results.stores.made import DAY, START_US
from trading.models import OrderFill, PaperTrade
from trading.settings_models import Strategy
from trading.settings_service import settings_seed

DAY_US = 86_400_000_000
YESTERDAY = DAY - datetime.timedelta(days=1)
DAYS = 90
NOW_US = START_US - START_US % DAY_US + DAYS * DAY_US  # the made day is the first one within the window
MIRRORED = [name for name, table in TABLES.items() if not table.is_born]

pytestmark = pytest.mark.both_databases


def window(side: Side, now_us: int = NOW_US) -> Window:
    follower = ClickHouseTables(lambda: side.clickhouse, lambda: side.gate)
    return Window(side.gate, lambda: side.clickhouse, follower, DAYS, lambda: now_us)


def fill(side: Side) -> None:
    """In each table a row of the day before the window, and one of its first day; all trades are closed."""
    for name in MIRRORED:
        closed: dict[str, Any] = {"status": "Closed"} if name == "paper_trade" else {}
        side.emit(name, 1, day=YESTERDAY, **closed)
        side.emit(name, 2, **closed)
    assert side.settle().is_level


def test_rows_of_before_the_window_go_and_all_stores_agree(side: Side) -> None:
    fill(side)
    assert window_began() is None
    assert window(side).run() == dict.fromkeys(MIRRORED, 1)
    assert {name: model_of(TABLES[name])._default_manager.count() for name in MIRRORED} == dict.fromkeys(MIRRORED, 1)
    assert window_began() == DAY
    verified = side.verifier().run()
    assert (verified.differences, verified.behind) == ([], {})
    assert window(side).run() == {}
    TradeResult.objects.all().delete()  # one within the window is missed
    assert [each.kind for each in side.verifier().run().differences] == [Kind.MISSING]


def test_what_clickhouse_has_not_confirmed_stays(side: Side) -> None:
    fill(side)
    side.emit("trade_result", 3, day=YESTERDAY)
    whole = side.sync.followers
    side.sync.followers = whole[:1]  # Django alone goes on
    side.settle()
    window(side).run()
    assert sorted(row.day for row in TradeResult.objects.all()) == [YESTERDAY, DAY]
    side.sync.followers = whole
    side.new_sync().once()
    assert window(side).run() == {"trade_result": 1}


def test_what_clickhouse_lost_stays(side: Side) -> None:
    fill(side)
    side.clickhouse.command("TRUNCATE TABLE trade_result_log")
    assert window(side).run() == {name: 1 for name in MIRRORED if name != "trade_result"}
    assert TradeResult.objects.count() == 2


def test_nothing_goes_while_clickhouse_is_away(side: Side) -> None:
    fill(side)

    def away() -> Any:
        raise ClickHouseAway("ClickHouse is away")

    with pytest.raises(ClickHouseAway):
        Window(side.gate, away, ClickHouseTables(away, lambda: side.gate), DAYS, lambda: NOW_US).run()
    assert TradeResult.objects.count() == 2


def test_open_trades_and_what_belongs_to_them_stay(side: Side) -> None:
    trade_id = str(uuid.UUID(int=7))
    side.emit("paper_trade", 7, day=YESTERDAY, status="Active")
    side.emit("trade_result", 7, day=YESTERDAY, trade_id=trade_id)
    side.emit("trade_result", 8, day=YESTERDAY, trade_id=str(uuid.UUID(int=8)))
    side.settle()
    assert window(side).run() == {"trade_result": 1}
    assert str(TradeResult.objects.get().trade_id) == trade_id
    assert PaperTrade.objects.count() == 1


def test_what_belongs_to_an_undecided_case_stays_as_its_evidence(side: Side) -> None:
    trade_id = str(uuid.UUID(int=7))
    for number in (7, 8):
        side.emit("paper_trade", number, day=YESTERDAY, status="Closed")
        side.emit("order_fill", number, day=YESTERDAY, trade_id=str(uuid.UUID(int=number)))
    side.emit("trade_reconciliation", 7, day=YESTERDAY, reconciliation_status="failed")
    side.settle()
    assert str(ReviewCase.objects.get().pk) == trade_id
    assert window(side).run() == {"order_fill": 1, "paper_trade": 1}
    assert str(OrderFill.objects.get().trade_id) == trade_id
    ReviewCase.objects.update(state="resolved")
    assert window(side).run() == {"order_fill": 1, "paper_trade": 1, "trade_reconciliation": 1}


def test_a_row_that_has_moved_on_meanwhile_stays(side: Side) -> None:
    fill(side)
    TradeResult.objects.filter(day=YESTERDAY).update(row_hash=1)
    assert "trade_result" not in window(side).run()


def test_it_goes_in_slices_and_no_further_than_a_run_may(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_module, "ROWS_PER_RUN", 4)
    monkeypatch.setattr(window_module, "ROWS_PER_SLICE", 3)
    for number in range(10):
        side.emit("result_metrics", number, day=YESTERDAY)
    side.settle()
    assert [window(side).run().get("result_metrics", 0) for _ in range(4)] == [4, 4, 2, 0]


def test_tables_that_are_born_in_django_are_never_touched(side: Side) -> None:
    settings_seed("synthetic", START_US)
    side.settle()
    before = Strategy.objects.count()
    assert window(side, NOW_US + 10_000 * DAY_US).run() == {}
    assert Strategy.objects.count() == before > 0


def test_api_and_page_say_where_an_older_trade_is(side: Side, admin_client: Client) -> None:
    fill(side)
    gone = uuid.UUID(int=1)
    assert "ClickHouse" not in admin_client.get(f"/api/v1/trades/{uuid.uuid4()}/").json()["detail"]
    window(side).run()
    said = f"Rows of days before {DAY} are no longer in these tables; ClickHouse and manage.py export have them."
    assert said in admin_client.get(f"/api/v1/trades/{gone}/").json()["detail"]
    assert said in admin_client.get(f"/trades/{gone}/").content.decode()
    assert said in admin_client.get("/admin/trading/papertrade/").content.decode()


def test_a_wider_window_later_does_not_make_stores_differ(side: Side) -> None:
    fill(side)
    window(side).run()
    wider = Window(side.gate, lambda: side.clickhouse, window(side)._follower, 3_650, lambda: NOW_US)
    assert wider.run() == {}
    assert FollowerWatermark.objects.get(name="window").mark == DAY.isoformat()
    assert side.verifier().run().differences == []
