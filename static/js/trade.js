// The page of an open trade: its live figures, from the same stream as the desk.

import { marketsById, withMarkWords } from "./marks.js";
import { withQueueWords } from "./queue.js";
import { Status } from "./status.js";
import { Stream } from "./stream.js";
import { View } from "./view.js";

const section = document.getElementById("now");
const view = new View(section);
const movedOn = document.getElementById("moved-on");

// A snapshot may hold fewer trades than there are: one that is not in it has closed only if none was left out.
function show(snapshot) {
  const all = snapshot.portfolios.flatMap((portfolio) => portfolio.trades ?? []);
  const trade = all.find((candidate) => candidate.id === section.dataset.trade);
  const isComplete = snapshot.portfolios.every(({ trades, trades_total }) => (trades_total ?? 0) <= (trades ?? []).length);
  movedOn.hidden = Boolean(trade) || !isComplete;
  section.classList.toggle("is-over", !movedOn.hidden);
  if (trade) view.update(withQueueWords(withMarkWords(trade, marketsById(snapshot))));
}

const status = new Status(() => stream.retryNow());
const stream = new Stream({
  connected: () => (status.lostUntil = null),
  lost: (pause) => {
    status.lostUntil = performance.now() + pause;
    status.paint();
  },
  greeting: (frame) => status.greeting(frame.server_us),
  notice: (sentence) => {
    status.notice = sentence;
    status.paint();
  },
  snapshot: (snapshot) => {
    status.take(snapshot);
    show(snapshot);
  },
});
stream.open();
