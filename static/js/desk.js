// The live desk: puts each snapshot of the stream on the page.

import { EquityLine } from "./equity.js";
import { marketsById, unmarkedWords, withMarkWords } from "./marks.js";
import { withQueueWords } from "./queue.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import { Rows, View } from "./view.js";

const ABSENT_SECONDS_MAX = 30;
const NO_PORTFOLIOS = "No portfolio trades here yet. The engine adds one for each strategy when it starts.";

const byId = (id) => document.getElementById(id);
const tradeHref = (id) => `/trades/${encodeURIComponent(id)}/`;

const history = {}; // prefix -> [[at_us, usd], ...] as the server remembers
const portfolios = new Map();
const market = new Rows(byId("market"), "market-item", byId("market").firstElementChild);
const comparison = new Rows(byId("comparison").querySelector("tbody"), "comparison-row");

const tradeRow = (trade, markets) => ({
  ...withQueueWords(withMarkWords(trade, markets)),
  href: tradeHref(trade.id),
  venues: `${trade.long_exchange} / ${trade.short_exchange}`,
});

const exitRow = (exit) => ({ ...exit, href: tradeHref(exit.trade_id) });

const legOutRow = (event) => ({
  ...event,
  href: tradeHref(event.trade_id),
  hedge_words: event.hedge_executed ? (event.hedge ?? "done") : "open",
  hedge_price: event.hedge_executed ? event.hedge_price : null,
});

function legOutRate(metrics) {
  return metrics?.total_trades ? metrics.leg_out_count / metrics.total_trades : null;
}

class PortfolioSection {
  constructor(portfolio) {
    this.view = View.fromTemplate("portfolio");
    this.view.root.id = `portfolio-${portfolio.prefix}`;
    this.equity = new EquityLine(this.view.root.querySelector(".equity"), history[portfolio.prefix]);
    this.lists = {};
    for (const table of this.view.root.querySelectorAll("[data-list]")) {
      this.lists[table.dataset.list] = Rows.ofTable(table, `${table.dataset.list}-row`);
    }
    byId("portfolios").append(this.view.root);
  }

  // A tick leaves out a portfolio that moved under it: that one is shown again by the next tick.
  isGone(at_us) {
    return at_us - this.seen_us > ABSENT_SECONDS_MAX * 1e6;
  }

  update(portfolio, at_us, markets) {
    this.seen_us = at_us;
    const trades = (portfolio.trades ?? []).map((trade) => tradeRow(trade, markets));
    const total = portfolio.trades_total ?? trades.length;
    const shown = total > trades.length ? `${trades.length} of ${total} shown` : trades.length ? String(total) : " ";
    const standing = portfolio.standing || " ";
    const leg_out_rate = legOutRate(portfolio.metrics);
    const unmarked = unmarkedWords(trades);
    this.comparable = { ...portfolio, anchor: `#portfolio-${portfolio.prefix}`, unmarked };
    this.view.update({ ...portfolio, standing, trades_shown: shown, leg_out_rate, unmarked });
    this.equity.add(at_us, portfolio.equity_usd);
    this.lists.trades.update(trades, (trade) => trade.id);
    this.lists.exits.update((portfolio.metrics?.recent_exits ?? []).map(exitRow), (exit) => exit.trade_id);
    this.lists.leg_outs.update((portfolio.leg_outs ?? []).map(legOutRow), (event) => `${event.trade_id} ${event.timestamp}`);
  }
}

function showPortfolios(snapshot) {
  const markets = marketsById(snapshot);
  for (const portfolio of snapshot.portfolios) {
    if (!portfolios.has(portfolio.prefix)) portfolios.set(portfolio.prefix, new PortfolioSection(portfolio));
    portfolios.get(portfolio.prefix).update(portfolio, snapshot.at_us, markets);
  }
  for (const [prefix, section] of portfolios) {
    if (!section.isGone(snapshot.at_us)) continue;
    section.view.root.remove();
    portfolios.delete(prefix);
  }
  byId("comparison").hidden = portfolios.size < 2;
  comparison.update([...portfolios.values()].map((section) => section.comparable), (portfolio) => portfolio.prefix);
}

function showMarkets(markets) {
  market.update(
    markets.map((row) => {
      const [venue, symbol] = row.instrument.split(":");
      return { ...row, venue, symbol: symbol ?? venue };
    }),
    (row) => row.instrument,
  );
  for (const row of markets) {
    const { root } = market.views.get(row.instrument);
    root.dataset.state = row.state;
    root.title = row.reason ? `${row.instrument} is ${row.state}: ${row.reason}` : "";
  }
}

const status = new Status(() => stream.retryNow());
const stream = new Stream({
  connected: () => (status.lostUntil = null),
  lost: (pause) => {
    status.lostUntil = performance.now() + pause;
    status.paint();
  },
  greeting: (frame) => {
    status.greeting(frame.server_us);
    Object.assign(history, frame.equity);
  },
  notice: (sentence) => {
    status.notice = sentence;
    status.paint();
    byId("waiting").hidden = sentence !== "" || status.snapshot !== null;
  },
  snapshot: (snapshot) => {
    status.take(snapshot);
    showMarkets(snapshot.markets ?? []);
    showPortfolios(snapshot);
    byId("waiting").hidden = portfolios.size > 0;
    byId("waiting").firstElementChild.textContent = NO_PORTFOLIOS;
  },
});
stream.open();
