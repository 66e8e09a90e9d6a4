// How fresh the page is: ages of feed, tick and followers, alarms, and the banner over numbers that stand still.

import { age, clock } from "./format.js";

const TICK_LATE_MS = 3_000; // the watchdog's limit: a tick is due every second
const FEED_LATE_MS = 5_000;
const SYNC_LATE_MS = 15_000; // a sync is due every three seconds
const VERIFY_LATE_MS = 150_000; // a verification is due every minute
const AUDIT_LATE_MS = 30 * 3_600_000; // an audit of all rows is due every day
const WAIT_WORDS = { duckdb: "DuckDB", django: "the Django tables", clickhouse: "ClickHouse" };

const banner = document.getElementById("banner");
const words = banner.querySelector("p");
const retry = banner.querySelector("button");

export class Status {
  constructor(onRetry) {
    this.snapshot = null;
    this.offset_ms = 0; // server's clock minus ours
    this.notice = "";
    this.lostUntil = null;
    this.received = 0;
    retry.addEventListener("click", onRetry);
    setInterval(() => this.paint(), 500);
  }

  greeting(server_us) {
    this.offset_ms = server_us / 1000 - Date.now();
  }

  now() {
    return Date.now() + this.offset_ms;
  }

  take(snapshot) {
    this.snapshot = snapshot;
    this.received = performance.now();
    this.showAlarms(snapshot.alarms ?? []);
    this.paint();
  }

  showAlarms(alarms) {
    const box = document.getElementById("alarms");
    if (!box) return;
    const items = alarms.map((alarm) => Object.assign(document.createElement("li"), { textContent: alarm }));
    box.querySelector("ul").replaceChildren(...items);
    box.hidden = alarms.length === 0;
    const spoken = document.getElementById("spoken-alarms");
    const kinds = alarms.map((alarm) => alarm.replaceAll(/\d+/g, "#")).join("\n");
    if (spoken.dataset.kinds === kinds) return; // an alarm whose count of seconds goes on is not read out again
    spoken.dataset.kinds = kinds;
    spoken.textContent = alarms.join(" ");
  }

  paint() {
    this.paintBanner();
    if (!this.snapshot) return;
    const since = performance.now() - this.received;
    const { feed, tick, sync } = this.snapshot;
    this.paintFeed(feed, since);
    const tickAge = tick ? Math.max(0, this.now() - tick.at_us / 1000) : null;
    this.part("tick", tick ? stateOf(tickAge, TICK_LATE_MS) : "unknown", tick ? `${age(tickAge)} ago, took ${tick.duration_ms.toFixed(1)} ms` : "none yet");
    for (const name of Object.keys(WAIT_WORDS)) this.paintSync(name, sync?.[name], since);
    this.paintSweep(sync?.sweep, since);
    this.paintVerify(sync?.verify, sync?.audit, sync?.trail, since);
  }

  paintSweep(sweep, since) {
    if (!sweep || sweep.age_ms === null) return this.part("sweep", "unknown", "not swept yet");
    if (sweep.error) return this.part("sweep", "bad", "in trouble", sweep.error);
    const { seen, accepted, set_aside, open } = sweep;
    const sum = `${seen} seen = ${accepted} accepted + ${set_aside} set aside`;
    this.part("sweep", open ? "late" : this.freshness(sweep, since, SYNC_LATE_MS), seen ? sum : "have written nothing");
    this.linkLetters(open);
  }

  // Those who may see dead letters have a link here; for the others the words say it.
  linkLetters(open) {
    const item = document.querySelector('[data-part="sweep"]');
    const link = item?.querySelector("a");
    const text = open === 1 ? "1 dead letter waits" : `${open} dead letters wait`;
    if (!link && open && item) item.querySelector(".words").textContent += `; ${text}`;
    if (!link) return;
    link.hidden = !open;
    link.textContent = text;
  }

  paintVerify(verify, audit, trail, since) {
    if (trail?.error) return this.part("verify", "bad", trail.error, `The audit trail is broken: ${trail.error}`);
    const error = verify?.error ?? audit?.error;
    if (error) return this.part("verify", "bad", error, `The stores do not agree: ${error}`);
    if (!verify || verify.age_ms === null) return this.part("verify", "unknown", "not yet");
    const audited = audit && audit.age_ms !== null ? audit.age_ms + since : null;
    const all = audited === null ? "" : `, all rows ${age(audited)} ago`;
    const state = this.freshness(verify, since, VERIFY_LATE_MS);
    const overdue = state === "ok" && audited !== null && !this.isStarting(audit, since, AUDIT_LATE_MS) && audited > AUDIT_LATE_MS;
    this.part("verify", overdue ? "late" : state, `${age(verify.age_ms + since)} ago${all}`);
  }

  paintFeed(feed, since) {
    if (!feed || feed.age_ms === null) return this.part("feed", "unknown", "silent");
    const feedAge = feed.age_ms + since;
    const rate = Number(feed.messages_per_second ?? 0).toFixed(0);
    this.part("feed", stateOf(feedAge, FEED_LATE_MS), `${feed.name}, ${rate} messages/s, ${age(feedAge)} old`);
  }

  paintSync(name, follower, since) {
    if (!follower || follower.age_ms === null) return this.part(name, "unknown", "not synced yet");
    const followerAge = follower.age_ms + since;
    if (follower.error) return this.part(name, "bad", `away, ${follower.lag} rows wait`, follower.error);
    if (this.isStarting(follower, since, SYNC_LATE_MS)) return this.part(name, "unknown", "starting");
    const waiting = follower.lag > 0 ? `, ${follower.lag} rows wait` : "";
    this.part(name, stateOf(followerAge, SYNC_LATE_MS), `${age(followerAge)} ago${waiting}`);
  }

  // What was last done before the desk was started is not late until its first period has passed.
  isStarting(follower, since, limit) {
    const up = this.snapshot.up_ms + since;
    return follower.age_ms + since > up && up < limit;
  }

  freshness(follower, since, limit) {
    return this.isStarting(follower, since, limit) ? "unknown" : stateOf(follower.age_ms + since, limit);
  }

  part(name, state, text, title = null) {
    const item = document.querySelector(`[data-part="${name}"]`);
    if (!item) return;
    item.dataset.state = state;
    item.querySelector(".words").textContent = text;
    if (title) item.title = title;
  }

  paintBanner() {
    const reason = this.reason();
    document.body.classList.toggle("is-stale", this.isStale());
    banner.hidden = !reason;
    if (words.textContent !== reason) words.textContent = reason;
    retry.hidden = this.lostUntil === null;
  }

  isStale() {
    return this.lostUntil !== null || this.notice !== "" || this.tickAge() > TICK_LATE_MS;
  }

  tickAge() {
    return this.snapshot ? this.now() - this.snapshot.at_us / 1000 : 0;
  }

  reason() {
    const last = this.snapshot ? ` The numbers below are of ${clock(this.snapshot.at_us / 1000)} UTC.` : "";
    if (this.lostUntil !== null) return `Connection to the desk lost.${last} It is tried again by itself.`;
    if (this.notice) return this.notice;
    if (this.tickAge() > TICK_LATE_MS) return `No tick of the monitor for ${Math.round(this.tickAge() / 1000)} s.${last}`;
    return "";
  }
}

function stateOf(milliseconds, limit) {
  return milliseconds > 4 * limit ? "bad" : milliseconds > limit ? "late" : "ok";
}
