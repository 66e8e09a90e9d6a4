// One portfolio's equity line. Points come from the greeting (recent history) and from each snapshot.

import { clock } from "./format.js";

const POINTS_MAX = 3600;
const WHOLE_SECONDS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];
const GAP_SECONDS = 10; // no line is drawn over a time in which nothing was seen

// Canvas needs plain colours: the style sheet gives them to the host element, resolved for the theme.
function coloursOf(host) {
  const style = getComputedStyle(host);
  return { line: style.color, grid: style.borderTopColor, label: style.columnRuleColor, font: style.fontFamily };
}

const sizeOf = (host) => ({ width: Math.max(host.clientWidth, 120), height: Math.max(host.clientHeight, 100) });

function axis(colours, more) {
  return {
    stroke: colours.label,
    font: `11px ${colours.font}`,
    grid: { stroke: colours.grid, width: 1 },
    ticks: { show: false },
    ...more,
  };
}

function optionsFor(host) {
  const colours = coloursOf(host);
  return {
    ...sizeOf(host),
    padding: [8, 4, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    scales: { y: { range: (_plot, low, high) => withRoom(low, high) } },
    axes: [
      axis(colours, { size: 26, space: 90, incrs: WHOLE_SECONDS, values: (_plot, ticks) => ticks.map((tick) => clock(tick * 1000)) }),
      axis(colours, { size: 74, values: (_plot, ticks, _axis, _space, step) => ticks.map(amount(step)) }),
    ],
    series: [{}, { stroke: colours.line, width: 1.5, points: { show: false } }],
  };
}

function amount(step) {
  const places = Number.isInteger(step) ? 0 : Number.isInteger(step * 10) ? 1 : 2;
  const options = { minimumFractionDigits: places, maximumFractionDigits: places };
  return (value) => value.toLocaleString("en-US", options);
}

// A flat line stays a line and not noise: the scale never spans less than a ten-thousandth of the equity.
function withRoom(low, high) {
  if (low === null) return [0, 1];
  const least = Math.max(Math.abs(high) * 1e-4, 0.02);
  const spread = Math.max(high - low, least);
  const middle = (low + high) / 2;
  return [middle - spread * 0.6, middle + spread * 0.6];
}

export class EquityLine {
  constructor(host, history = []) {
    this.host = host;
    this.times = [];
    this.values = [];
    for (const [at_us, value] of history) this.keep(at_us, value);
    new ResizeObserver(() => this.plot?.setSize(sizeOf(host))).observe(host);
    document.addEventListener("theme", () => this.draw());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  keep(at_us, value) {
    const seconds = at_us / 1e6;
    const last = this.times.at(-1) ?? seconds;
    if (this.times.length && seconds <= last) return;
    if (seconds - last > GAP_SECONDS) this.push(last + 1, null);
    this.push(seconds, value === null ? null : Number(value));
  }

  push(seconds, value) {
    this.times.push(seconds);
    this.values.push(value);
    if (this.times.length > POINTS_MAX) {
      this.times.shift();
      this.values.shift();
    }
  }

  known() {
    return this.values.filter((value) => value !== null);
  }

  add(at_us, value) {
    this.keep(at_us, value);
    this.host.querySelector(".equity-none").hidden = this.known().length > 0;
    if (!this.plot) this.draw();
    else this.plot.setData([this.times, this.values]);
    this.host.ariaLabel = this.words();
  }

  words() {
    const known = this.known();
    if (!known.length) return "Equity over time: no value yet";
    const [now, low, high] = [known.at(-1), Math.min(...known), Math.max(...known)];
    return `Equity over time: now ${now.toFixed(2)} USD, between ${low.toFixed(2)} and ${high.toFixed(2)} USD`;
  }

  draw() {
    this.plot?.destroy();
    this.plot = null;
    if (!this.known().length) return;
    this.plot = new uPlot(optionsFor(this.host), [this.times, this.values], this.host);
  }
}
