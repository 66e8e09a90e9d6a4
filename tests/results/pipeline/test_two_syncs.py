"""Two syncs at once, as a worker and a person's command are: nothing is lost, doubled, or made older."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from results.models import TradeReconciliation
from tests.results.pipeline.made import Side
from tests.results.pipeline.made_trades import Portfolio

ROUNDS = 8


@pytest.mark.django_db(transaction=True)
def test_two_syncs_at_once_end_as_one_does(side: Side) -> None:
    portfolio = Portfolio(side.client)

    def keep_syncing() -> None:
        sync = side.new_sync()
        for _ in range(ROUNDS):
            sync.once()
        connection.close()

    with ThreadPoolExecutor(2) as threads:
        running = [threads.submit(keep_syncing) for _ in range(2)]
        trades = [portfolio.closed(portfolio.opened(number)) for number in range(20)]
        for each in running:
            each.result(60)
    assert side.settle().is_level
    for name, versions in (("paper_trade", 60), ("trade_result", 80), ("trade_reconciliation", 20)):
        assert side.log_length(name) == versions
    assert TradeReconciliation.objects.filter(version=1).count() == len(trades)
    assert side.verifier().run().verdict == "agree"
