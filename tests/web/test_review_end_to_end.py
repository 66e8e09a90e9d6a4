"""A person who has read nothing: on a whole desk, from the admin's front page to a decision that is in every store."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import clickhouse_connect
import pytest
import redis
from playwright.sync_api import Browser, Page, expect, sync_playwright

from results.stores.gate import Gate
from tests.desk.test_whole_desk import running
from tests.desk.typed import bare
from tests.web.browsing import FLAGS, chromium

pytestmark = pytest.mark.browser

ARRIVES_SECONDS_MAX = 120.0  # on a busy machine; docs/benchmarks.md has what it takes
PAGE_MS_MAX = 60_000
WORSE = {"buy": Decimal("1.006"), "sell": Decimal("0.994")}  # 60 bps, to the trader's cost
OURS = (b"version", b"row_hash")
DECISION = (
    "SELECT c.state, c.resolution, r.reason, r.outcome, r.maker, r.checker FROM review_case c "
    "JOIN review r ON r.id = c.review_id WHERE c.trade_id = '{}'"
)
REJECTED = ("resolved", "reject", "data_error", "approved", "staff", "approver")


def until(what: str, found: Callable[[], Any]) -> Any:
    """What `found` returns as soon as it is something."""
    deadline = time.monotonic() + ARRIVES_SECONDS_MAX
    while not (value := found()):
        assert time.monotonic() < deadline, f"{what}: not within {ARRIVES_SECONDS_MAX:.0f} s"
        time.sleep(0.1)
    return value


def executed_result(client: redis.Redis) -> tuple[str, dict[bytes, bytes]] | None:
    """The id and the hash of an executed result of a trade that is closed."""
    closed = {key.rpartition(b":")[2] for key in cast("Iterable[bytes]", client.scan_iter("strategy:trades:closed:*"))}
    for key in cast("Iterable[bytes]", client.scan_iter("result:*", count=500)):
        fields = cast("dict[bytes, bytes]", client.hgetall(key.decode()))
        if fields.get(b"trade_id") in closed and fields[b"state"] == b"executed":
            return key.decode().removeprefix("result:"), fields
    return None


class Stores:
    """The desk's stores, as other programs read them."""

    def __init__(self, told: dict[str, Any]) -> None:
        addresses = told["addresses"]
        self.duckdb = Gate(Path(addresses["DUCKDB_PATH"]))
        self.clickhouse = clickhouse_connect.get_client(dsn=addresses["CLICKHOUSE_URL"])

    def told_of(self, trade: str) -> dict[str, Callable[[], bool]]:
        """By store: whether it has the decision on the trade's case, and nothing else."""
        statement = DECISION.format(trade)
        return {
            "DuckDB": lambda: self._in_duckdb(statement) == [REJECTED],
            "ClickHouse": lambda: self._in_clickhouse(statement) == [REJECTED],
        }

    def _in_duckdb(self, statement: str) -> list[tuple[Any, ...]]:
        with self.duckdb.read() as connection:
            return connection.sql(statement).fetchall()

    def _in_clickhouse(self, statement: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.clickhouse.query(statement).result_rows]


@contextmanager
def visiting(browser: Browser, address: str, told: dict[str, Any], user: str) -> Iterator[Page]:
    """The admin's front page, after the login of a user, in a browser of his own."""
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        page.set_default_timeout(PAGE_MS_MAX)
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.goto(f"{address}/admin/")
        page.get_by_label("Username").fill(user)
        page.get_by_label("Password").fill(told["users"][user])
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{address}/admin/")
        yield page
        assert said == [], "the browser complained"


def another_program_errs(client: redis.Redis, page: Page, address: str) -> str:
    """It writes a result of a closed trade twice, and then a worse price into the first; the trade's id."""
    result, fields = until("an executed result of a closed trade", lambda: executed_result(client))
    again = str(uuid.uuid4())
    client.hset(f"result:{again}", mapping={name: value for name, value in fields.items() if name not in OURS})
    row = f"{address}/admin/results/traderesult/{again}/change/"
    until("the second result in the tables", lambda: page.goto(row) and page.url == row)
    price = Decimal(fields[b"requested_price"].decode()) * WORSE[fields[b"direction"].decode()]
    client.hset(f"result:{result}", "execution_price", str(price))
    return fields[b"trade_id"].decode()


def find_first_case(page: Page, address: str, trade: str) -> None:
    """From the front page to the oldest of the gravest cases; the only critical one is the trade's."""
    link = page.locator(".review-panel .first a")

    def is_there() -> bool:
        page.goto(f"{address}/admin/")
        return link.count() > 0 and trade in (link.get_attribute("href") or "")

    until("the case on the front page", is_there)
    expect(page.locator(".review-panel .first")).to_contain_text("Oldest critical case")
    link.click()
    page.wait_for_url(f"**/{trade}/change/")


def propose(page: Page) -> None:
    """Read why it failed, try without a reason, then with one."""
    expect(page.locator("#content > h1")).to_contain_text("has 2 results.")
    breaks = page.locator(".breaks tbody tr")
    expect(breaks).to_have_count(2)
    expect(breaks.nth(1)).to_contain_text("Slippage of 60 bps on")
    expect(page.locator(".case-evidence")).to_contain_text("Fills, explained")
    page.get_by_label("Reject: the figures are not accepted").check()
    page.get_by_role("button", name="Propose").click()
    expect(page.locator("#id_propose-reason_error")).to_have_text("Choose a reason that fits what you propose.")
    expect(page.get_by_label("Reject: the figures are not accepted")).to_be_checked()
    page.get_by_label("Reason", exact=True).select_option("data error")
    page.locator("#id_propose-comment").fill("The venue's file came twice, and with another price.")
    page.get_by_role("button", name="Propose").click()
    expect(page.locator(".messagelist")).to_contain_text("Proposed. Another person decides on it now")
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)
    expect(page.locator(".decision")).to_contain_text("You proposed this, so another person decides (four eyes).")


def approve(page: Page, trade: str) -> float:
    """What waits for the approver, and his decision; the time of it (monotonic)."""
    page.locator(".review-panel").get_by_text("for your decision").click()
    page.locator(f'#result_list a[href*="{trade}"]').first.click()
    expect(page.locator(".decision")).to_contain_text("staff proposed to reject, because: data error")
    decided = time.monotonic()
    page.get_by_role("button", name="Approve").click()
    expect(page.locator(".messagelist")).to_contain_text("Approved. The case is resolved")
    return decided


def test_the_oldest_severe_case_is_found_understood_proposed_and_approved_and_is_in_every_store(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    path = chromium()
    if path is None:
        pytest.skip("no Chromium can be started here: put one on the path or run `python tests/browser.py`")
    output = tmp_path / "desk.json"
    with (
        running(bare(tmp_path / "data"), output, "--json", up='"addresses"') as (_, address),
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=FLAGS) as browser,
    ):
        told = json.loads(output.read_text())
        with (
            redis.Redis.from_url(told["addresses"]["REDIS_URL"]) as client,
            visiting(browser, address, told, "staff") as page,
        ):
            trade = another_program_errs(client, page, address)
            find_first_case(page, address, trade)
            propose(page)
        with visiting(browser, address, told, "approver") as page:
            decided = approve(page, trade)
        for name, arrived in Stores(told).told_of(trade).items():
            until(f"the decision in {name}", arrived)
            seconds = time.monotonic() - decided
            record_property(f"seconds_to_{name}", seconds)
            print(f"the decision is in {name} after {seconds:.1f} s")
