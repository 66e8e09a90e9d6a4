"""A Chromium for the browser tests: one on the path, else Playwright's, else Debian's package.

As a program (`python tests/browser.py`) it fetches one where none is found and prints what it did in one line. It
always ends with status 0: without a browser those tests are skipped, and say so.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
FETCH_SECONDS_MAX = 300
START_SECONDS_MAX = 30


def find_browser() -> str | None:
    """Return the path of a Chromium that starts, or None."""
    on_path = [found for name in NAMES if (found := shutil.which(name))]
    return next((path for path in [*on_path, _playwrights()] if _starts(path)), None)


def fetch_browser() -> str:
    """Try to get a Chromium; return one line on what was done or could not be."""
    if _succeeds([sys.executable, "-m", "playwright", "install", "chromium"]) and find_browser():
        return f"browser: fetched by playwright, {find_browser()}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return "browser: none; `playwright install chromium` did not give one, and Debian's needs root: tests skip"
    _succeeds(["apt-get", "update", "-qq"])
    _succeeds(["apt-get", "install", "-y", "-qq", "--no-install-recommends", "chromium"])
    if path := find_browser():
        return f"browser: Debian's package, {path}"
    return "browser: none; neither `playwright install chromium` nor `apt-get install chromium` gave one: tests skip"


def _playwrights() -> str:
    with sync_playwright() as playwright:
        return playwright.chromium.executable_path


def _starts(path: str) -> bool:
    """A browser without its libraries is there and does not run, hence a real start."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "about:blank"]
    return Path(path).exists() and _succeeds([path, *flags], START_SECONDS_MAX)


def _succeeds(command: list[str], seconds_max: float = FETCH_SECONDS_MAX) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=seconds_max).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


if __name__ == "__main__":
    found = find_browser()
    print(f"browser: {found}" if found else fetch_browser())
