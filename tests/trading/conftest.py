"""The recorded exchange traffic."""

from pathlib import Path

import pytest
from django.conf import settings

NAMES = ("binance-usdm-btcusdt-20240808.gz", "binance-spot-btcusdt-20240808.gz")


@pytest.fixture(scope="session")
def recorded() -> list[Path]:
    """The two recorded files: perpetual, spot."""
    files = [settings.MARKET_DATA / name for name in NAMES]
    for file in files:
        if not file.exists():
            pytest.skip(f"the recorded market data is not here: {file}")
    return files
