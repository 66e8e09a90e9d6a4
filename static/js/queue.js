// The two legs' queue progress in words, for the trade tables and the trade page.

function legWords(progress, status) {
  if (status !== "Pending") return String(status ?? "").toLowerCase();
  return progress === null || progress === undefined ? "–" : `${Math.floor(progress * 100)} %`;
}

export const withQueueWords = (trade) => ({
  ...trade,
  long_words: legWords(trade.long_progress, trade.long_status),
  short_words: legWords(trade.short_progress, trade.short_status),
});
