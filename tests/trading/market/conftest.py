"""The recorded exchange traffic, and little captures written for one test."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
FOLDER = Path(os.environ.get("PAPERDESK_MARKET_DATA") or REPOSITORY / "../shared/market-data").resolve()
NAMES = ("binance-usdm-btcusdt-20240808.gz", "binance-spot-btcusdt-20240808.gz")


@pytest.fixture(scope="session")
def recorded() -> list[Path]:
    """The two recorded files: perpetual, spot."""
    files = [FOLDER / name for name in NAMES]
    for file in files:
        if not file.exists():
            pytest.skip(f"the recorded market data is not here: {file} (PAPERDESK_MARKET_DATA names its folder)")
    return files


@pytest.fixture
def capture_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes messages as a capture: each one a line with a receive time."""

    def write(*messages: str, name: str = "binance-usdm-btcusdt-test") -> Path:
        file = tmp_path / name
        lines = (f"{1723161255000000000 + number} {message}\n" for number, message in enumerate(messages))
        file.write_text("".join(lines))
        return file

    return write
