"""`run_engine` processes beside each other on the synthetic feed: two shards trade the same portfolios, others wait."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from django.conf import settings
from redis import Redis

from paperdesk.embedded.tied import tied
from paperdesk.environment import BASE_DIR
from results.pipeline.invariants.check import check_invariants
from results.stores.gate import Gate
from tests.trading.engine.test_runner import wait_until
from trading import wiring
from trading.config import DEFAULTS
from trading.engine.clock import SystemClock
from trading.engine.watch import Watch
from trading.stores import keys
from trading.stores.command_store import CommandStore
from trading.stores.desk_store import DeskStore
from trading.stores.keys import PortfolioKeys
from trading.stores.lease import Lease
from trading.stores.market_store import MarketStore
from trading.stores.monitor_store import MonitorStore, SnapshotStore

PREFIXES = ("strategy", "strategy_complete")
OF_SHARD = {"0/2": {"ETHUSDT", "XRPUSDT", "BNBUSDT"}, "1/2": {"BTCUSDT", "SOLUSDT"}}
CLOSED_MIN = 3  # of each shard, in all
SECONDS_MAX = 120.0  # mostly ten; a made-up market has quiet times


class Engines:
    """Processes on one Redis, by the name of their log."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**environment, "REDIS_URL": settings.REDIS_URL}
        self._folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}
        self.settings = folder / "often.toml"
        text = DEFAULTS["synthetic"].read_text()
        assert "entry_threshold_bps = " in text
        lines = ["entry_threshold_bps = 1" if each.startswith("entry_threshold") else each for each in text.split("\n")]
        self.settings.write_text("\n".join(lines))

    def start(self, name: str, shard: str) -> None:
        words = ["run_engine", "--feed", "synthetic", "--strategy", str(self.settings), "--shard", shard, "--json"]
        with open(self._folder / name, "wb") as log:
            self.running[name] = subprocess.Popen(
                tied([sys.executable, "manage.py", *words]),
                cwd=BASE_DIR,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
            )

    def says(self, name: str, words: str) -> Callable[[], bool]:
        return lambda: words in (self._folder / name).read_text()

    def stop(self, name: str) -> dict[str, Any]:
        engine = self.running.pop(name)
        engine.send_signal(signal.SIGTERM)
        output, _ = engine.communicate(timeout=20)
        assert engine.returncode == 0
        told: dict[str, Any] = json.loads(output)
        return told


@pytest.fixture
def engines(bare_environment: Mapping[str, str], tmp_path: Path) -> Iterator[Engines]:
    made = Engines(bare_environment, tmp_path)
    yield made
    for engine in made.running.values():
        engine.kill()
        engine.wait()


@pytest.fixture
def watch(redis_client: Redis) -> Watch:
    """The monitor, which decides the exits of all of them."""
    return Watch(
        DeskStore(redis_client),
        lambda prefix, lease: MonitorStore(redis_client, prefix, wiring.outbox(), lease),
        MarketStore(redis_client),
        CommandStore(redis_client),
        SnapshotStore(redis_client),
        Lease(redis_client, "monitor", "test", 60_000),
        SystemClock(),
        lambda: None,
    )


def closed_symbols(client: Redis) -> list[str]:
    """The symbol of every closed trade."""
    names = [key for prefix in PREFIXES for key in client.scan_iter(PortfolioKeys(prefix).closed_pattern)]
    raws: Any = client.mget(names) if names else []
    return [json.loads(raw)["symbol"] for raw in raws]


def test_two_shards_trade_one_portfolio_and_whoever_else_comes_does_nothing(
    redis_client: Redis, engines: Engines, watch: Watch, tmp_path: Path, db: None
) -> None:
    for shard in OF_SHARD:
        engines.start(shard[0], shard)
    for shard in OF_SHARD:
        wait_until(engines.says(shard[0], "engine_started"), f"shard {shard} has started")
    engines.start("same shard", "1/2")
    engines.start("whole", "0/1")

    def both_have_traded() -> bool:
        watch.turn()
        symbols = closed_symbols(redis_client)
        return all(sum(each in of for each in symbols) >= CLOSED_MIN for of in OF_SHARD.values())

    wait_until(both_have_traded, "both shards have closed trades", SECONDS_MAX)
    wait_until(engines.says("same shard", "engine:1/2 is held by"), "a second engine of the shard says that it waits")
    wait_until(engines.says("whole", "engine:0/1 cannot run beside engine:"), "one of another division says so")
    assert redis_client.scard(keys.MARKET_INDEX) == 15
    assert set(DeskStore(redis_client).in_force()) == set(OF_SHARD)

    engines.running.pop("1").kill()
    wait_until(engines.says("same shard", "engine_started"), "the second engine takes the shard over")

    def all_is_well() -> bool:
        watch.turn()
        shown = msgspec.json.decode(SnapshotStore(redis_client).newest() or b"")
        return shown["alarms"] == [] and shown["feed"]["messages_per_second"] > 0

    wait_until(all_is_well, "the page knows of no trouble any more")

    told = [engines.stop("0"), engines.stop("same shard")]
    assert [each["shard"] for each in told] == list(OF_SHARD)
    for each in told:
        assert each["transitions"] > 0
        assert not any(one["halted"] or one["entries_stopped"] for one in each["portfolios"].values())
    wait_until(engines.says("whole", "engine_started"), "the undivided engine begins when both have ended")
    assert engines.stop("whole")["shard"] == "0/1"
    report = check_invariants(redis_client, Gate(tmp_path / "none.duckdb"))
    assert (report.portfolios, report.violations) == (list(PREFIXES), [])
    assert not redis_client.keys("paperdesk:lease:engine:*")
