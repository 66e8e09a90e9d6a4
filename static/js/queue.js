// The two legs' queue progress in words, for the trade tables and the trade page.

const HEDGED = ["Active", "Exiting"];

function legWords(progress, status, tradeStatus) {
  // A hedged trade has both legs: the one whose resting order was cancelled was taken at market instead.
  if (status === "Cancelled" && HEDGED.includes(tradeStatus)) return "taken";
  if (status !== "Pending") return String(status ?? "").toLowerCase();
  return progress === null || progress === undefined ? "–" : `${Math.floor(progress * 100)} %`;
}

export const withQueueWords = (trade) => ({
  ...trade,
  long_words: legWords(trade.long_progress, trade.long_status, trade.status),
  short_words: legWords(trade.short_progress, trade.short_status, trade.status),
});
