// How figures are shown. Every form takes a value as it came (number, decimal text, null) and returns
// {text, tone}: tone is "gain", "loss" or "". Only displays round; the exact value is in the stores.

const NONE = "–";
const MINUS = "−";

const formatters = new Map();

function digits(value, least, most = least) {
  const name = `${least},${most}`;
  if (!formatters.has(name)) {
    formatters.set(name, new Intl.NumberFormat("en-US", { minimumFractionDigits: least, maximumFractionDigits: most }));
  }
  return formatters.get(name).format(Math.abs(value));
}

const rounded = (value, places) => Number(value.toFixed(places));

function plain(value, places) {
  const shown = rounded(value, places);
  return { text: (shown < 0 ? MINUS : "") + digits(shown, places), tone: "" };
}

function signed(value, places) {
  const shown = rounded(value, places);
  const sign = shown < 0 ? MINUS : shown > 0 ? "+" : "";
  return { text: sign + digits(shown, places), tone: shown < 0 ? "loss" : shown > 0 ? "gain" : "" };
}

// A loss that is stored as a positive figure keeps its sign; only its colour says that it is bad.
function loss(value, places) {
  const { text } = plain(value, places);
  const shown = rounded(value, places);
  return { text, tone: shown > 0 ? "loss" : shown < 0 ? "gain" : "" };
}

const two = (number) => String(number).padStart(2, "0");

export function clock(milliseconds) {
  const time = new Date(milliseconds);
  return `${two(time.getUTCHours())}:${two(time.getUTCMinutes())}:${two(time.getUTCSeconds())}`;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

// A time of the last twelve hours as a clock, an older one with its date.
function moment(milliseconds) {
  if (Math.abs(Date.now() - milliseconds) < 43_200_000) return clock(milliseconds);
  const time = new Date(milliseconds);
  return `${time.getUTCDate()} ${MONTHS[time.getUTCMonth()]} ${clock(milliseconds).slice(0, 5)}`;
}

export function age(milliseconds) {
  if (milliseconds < 1000) return `${Math.max(0, Math.round(milliseconds))} ms`;
  return duration(milliseconds / 1000);
}

function duration(seconds) {
  if (seconds < 60) return `${rounded(seconds, seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(Math.floor(seconds % 60))} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${two(minutes % 60)} min` : `${Math.floor(hours / 24)} days`;
}

function price(value) {
  const size = Math.abs(value);
  const places = size >= 1000 ? 2 : size >= 1 ? 4 : 6;
  return { text: (value < 0 ? MINUS : "") + digits(value, Math.min(2, places), places), tone: "" };
}

const asText = (text) => ({ text, tone: "" });

const FORMS = {
  text: (value) => asText(String(value)),
  words: (value) => asText(String(value).replaceAll("_", " ") || NONE),
  count: (value) => asText(digits(Number(value), 0)),
  decimal: (value) => plain(Number(value), 2),
  usd: (value) => plain(Number(value), 2),
  usd_whole: (value) => plain(Number(value), 0),
  usd_signed: (value) => signed(Number(value), 2),
  usd_loss: (value) => loss(Number(value), 2),
  price: (value) => price(Number(value)),
  bps: (value) => asText(signed(Number(value), 2).text), // a spread is wide or narrow, not good or bad
  bps_signed: (value) => signed(Number(value), 2),
  percent_signed: (value) => signed(Number(value), 2),
  ratio: (value) => plain(Number(value) * 100, 1),
  ratio_signed: (value) => signed(Number(value) * 100, 1),
  ratio_loss: (value) => loss(Number(value) * 100, 1),
  rate: (value) => asText(signed(Number(value) * 100, 4).text),
  age: (value) => asText(age(Number(value))),
  duration: (value) => asText(duration(Number(value))),
  unix_time: (value) => asText(moment(Number(value) * 1000)),
  micro_time: (value) => asText(moment(Number(value) / 1000)),
};

// Returns {text, tone, isKnown}; a value that is absent, null or not a number is not known.
export function show(value, form = "text") {
  if (value === null || value === undefined || value === "") return { text: NONE, tone: "", isKnown: false };
  if (!["text", "words"].includes(form) && !Number.isFinite(Number(value))) {
    return { text: NONE, tone: "", isKnown: false };
  }
  return { ...FORMS[form](value), isKnown: true };
}
