"""Little captures written for one test."""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def capture_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes messages as a capture: each one a line with a receive time."""

    def write(*messages: str, name: str = "binance-usdm-btcusdt-test") -> Path:
        file = tmp_path / name
        lines = (f"{1723161255000000000 + number} {message}\n" for number, message in enumerate(messages))
        file.write_text("".join(lines))
        return file

    return write
