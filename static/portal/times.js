// <time data-when="ago|clock|full">: relative words stay fresh, clock times turn to the reader's own zone, which is named.

const UNITS = [[60, 1, "s"], [3600, 60, "min"], [86400, 3600, "h"], [Infinity, 86400, "days"]];

export function relative(then, now = Date.now()) {
  const seconds = (now - then) / 1000;
  const amount = Math.abs(seconds);
  if (amount < 5) return "now";
  const [, size, unit] = UNITS.find(([limit]) => amount < limit);
  const count = Math.floor(amount / size);
  const text = `${count} ${unit === "days" && count === 1 ? "day" : unit}`;
  return seconds > 0 ? `${text} ago` : `in ${text}`;
}

export function clock(then) {
  return new Intl.DateTimeFormat("en-GB", { timeStyle: "long" }).format(then);
}

export function full(then) {
  return new Intl.DateTimeFormat("en-GB", {
    day: "2-digit", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", timeZoneName: "short",
  }).format(then);
}

export function seconds(value) {
  if (value < 0.995) return `${value.toFixed(2)}s`;
  if (value < 9.95) return `${value.toFixed(1)}s`;
  const whole = Math.round(value);
  const two = (number) => String(number).padStart(2, "0");
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m ${two(whole % 60)}s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return `${Math.floor(whole / 86400)}d ${Math.floor((whole % 86400) / 3600)}h`;
}

export function freshTimes(root = document) {
  for (const element of root.querySelectorAll("time[data-when]")) {
    const then = new Date(element.dateTime);
    element.textContent = { ago: () => relative(then), clock: () => clock(then), full: () => full(then) }[element.dataset.when]();
    element.title = full(then);
  }
  for (const element of root.querySelectorAll("[data-elapsed-since]")) {
    element.textContent = seconds(Math.max(0, (Date.now() - new Date(element.dataset.elapsedSince)) / 1000));
  }
}

setInterval(freshTimes, 1000);
