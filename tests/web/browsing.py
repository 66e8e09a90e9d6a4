"""Pages in a real browser: Chromium, uvicorn with the whole ASGI application, real Redis, the test database."""

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from paperdesk.asgi import application
from paperdesk.embedded.ports import LOCAL, free_port
from tests.browser import find_browser
from tests.web import snapshots
from tests.web.conftest import PASSWORD

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync",
]  # fmt: skip
START_SECONDS_MAX = 60.0
WAIT_MS_MAX = 30_000  # for a machine that does much else
expect.set_options(timeout=WAIT_MS_MAX)
# What Chromium says by itself when a test stops the server; everything else on the console fails the test.
SERVER_GONE = re.compile("ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|WebSocket connection to")


@contextmanager
def serving(port: int) -> Iterator[None]:
    """The web process's application on a port, in a thread."""
    config = uvicorn.Config(application, host=LOCAL, port=port, log_level="error", lifespan="off")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="web")
    thread.start()
    deadline = time.monotonic() + START_SECONDS_MAX
    while not server.started:
        assert thread.is_alive() and time.monotonic() < deadline, "uvicorn did not start"
        time.sleep(0.02)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(START_SECONDS_MAX)


class Desk:
    """A browser page on a served desk. `says` is everything the browser complained about."""

    def __init__(self, browser: Browser, address: str, worker: ThreadPoolExecutor) -> None:
        self.browser = browser
        self.address = address
        self.says: list[str] = []
        self._worker = worker

    def open(self, path: str = "/", **context: Any) -> Page:
        """A page in a context of its own, whose complaints are kept."""
        page = self.browser.new_context(**context).new_page()
        page.set_default_timeout(WAIT_MS_MAX)
        page.on("console", lambda message: self._heard(message.type, message.text))
        page.on("pageerror", lambda error: self.says.append(str(error)))
        page.goto(self.address + path)
        return page

    def logged_in(self, path: str = "/", user: str = "ann", **context: Any) -> Page:
        """A page of a user, after the login form."""
        page = self.open(f"/login/?next={path}", **context)
        page.get_by_label("User name").fill(user)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(self.address + path)
        return page

    def publish(self, *portfolios: dict[str, Any], **values: Any) -> None:
        """Publish a snapshot as the monitor does, in a thread: this one already runs playwright's loop."""
        self._worker.submit(snapshots.publish, snapshots.snapshot(*portfolios, **values)).result()

    def _heard(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"}:
            self.says.append(text)


@cache
def chromium() -> str | None:
    """The path of a Chromium that starts, looked for once."""
    return find_browser()


@contextmanager
def browsing(port: int) -> Iterator[Desk]:
    """A browser for what is served on a port, which must complain of nothing. Skips the test where there is none."""
    path = chromium()
    if path is None:
        pytest.skip("no Chromium can be started here: put one on the path or run `python tests/browser.py`")
    with (
        ThreadPoolExecutor(1) as worker,
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=path, args=FLAGS) as browser,
    ):
        desk = Desk(browser, f"http://{LOCAL}:{port}", worker)
        yield desk
        for context in browser.contexts:
            context.close()
    assert [line for line in desk.says if not SERVER_GONE.search(line)] == [], "the browser complained"


@contextmanager
def browsed() -> Iterator[Desk]:
    """A served desk and a browser for it."""
    port = free_port()
    with serving(port), browsing(port) as desk:
        yield desk
