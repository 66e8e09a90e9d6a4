// The snapshot stream: connects, reconnects with growing pauses, and tells what happened.
//
// on.greeting({server_us, equity})   first frame of every connection
// on.snapshot(object)                the newest snapshot
// on.notice(sentence or "")          what the server has to say
// on.connected()                     the first frame has come
// on.lost(milliseconds until the next attempt)

const PAUSE_MS_MIN = 500;
const PAUSE_MS_MAX = 15_000;
const SIGNED_OUT = 4401;

export class Stream {
  constructor(on) {
    this.on = on;
    this.failures = 0;
    this.timer = 0;
    window.addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    this.socket = new WebSocket(`${scheme}//${location.host}/ws/live/`);
    this.socket.addEventListener("message", (event) => this.take(JSON.parse(event.data)));
    this.socket.addEventListener("close", (event) => this.closed(event.code));
  }

  // Try again at once, if the connection is lost and a pause is running.
  retryNow() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = 0;
    this.open();
  }

  take(frame) {
    if ("server_us" in frame) {
      this.failures = 0;
      this.on.connected();
      this.on.greeting(frame);
    } else if ("notice" in frame) {
      this.on.notice(frame.notice);
    } else {
      this.on.snapshot(frame);
    }
  }

  closed(code) {
    if (code === SIGNED_OUT) {
      location.assign(`/login/?next=${encodeURIComponent(location.pathname)}`);
      return;
    }
    const longest = Math.min(PAUSE_MS_MAX, PAUSE_MS_MIN * 2 ** this.failures);
    const pause = longest * (0.5 + Math.random() / 2); // a restarted server is not met by all browsers at once
    this.failures += 1;
    this.timer = setTimeout(() => this.retryNow(), pause);
    this.on.lost(pause);
  }
}
