// Why a trade cannot be marked: what is wrong with the books of its legs, in words.

export const marketsById = (snapshot) => new Map((snapshot.markets ?? []).map((market) => [market.instrument, market]));

function troubleOf(venue, symbol, markets) {
  const market = markets.get(`${venue}:${symbol}`);
  if (!market) return `${venue}: no price has come`;
  return market.state === "ok" ? "" : `${venue} ${market.state}: ${market.reason || "no price to mark with"}`;
}

export function withMarkWords(trade, markets) {
  if (trade.unrealised_usd !== null && trade.spread_now_bps !== null) return { ...trade, unmarked: null };
  const troubles = [trade.long_exchange, trade.short_exchange].map((venue) => troubleOf(venue, trade.symbol, markets));
  return { ...trade, unmarked: troubles.filter(Boolean).join("; ") || "a price is missing" };
}

// One sentence for a portfolio, null while each of its trades has marks.
export function unmarkedWords(trades) {
  const unmarked = trades.filter((trade) => trade.unmarked);
  if (unmarked.length === 0) return null;
  const [first] = unmarked;
  return `The P&L of ${unmarked.length} of ${trades.length} open trades is unknown, for instance ${first.symbol}: ${first.unmarked}.`;
}
