// The live page of a change of a stack. Rows are the truth: an event says that there is something new to fetch, except
// for lines of the log and the progress of the whole, which are shown as they come.
import { follow as followJob } from "../portal/live.js";
import { clock, freshTimes } from "../portal/times.js";

const KINDS = ["state", "stage", "cancel", "log", "progress"];
const MIN_GAP_MS = 300; // between two refreshes
const MOST_LINES = 5000; // the browser keeps this many; the whole log can be downloaded

const page = document.getElementById("run");
const lines = document.getElementById("log-lines");
const words = document.getElementById("log-filter");
const following = document.getElementById("log-follow");

let waiting = 0;
let fetching = false;
let again = false; // something came while the fragment was on its way

function top() {
  return document.getElementById("run-top");
}

function refresh() {
  if (fetching) again = true;
  if (fetching || waiting) return;
  waiting = setTimeout(() => {
    waiting = 0;
    globalThis.htmx.trigger(top(), "refresh");
  }, MIN_GAP_MS);
}

document.addEventListener("htmx:beforeRequest", () => {
  fetching = true;
});

document.addEventListener("htmx:afterRequest", () => {
  fetching = false;
  if (!again) return;
  again = false;
  refresh();
});

function take(kind, event) {
  if (kind === "log") addLine(event);
  else if (kind === "progress") setProgress(event.fraction);
  else refresh();
}

function setProgress(fraction) {
  const bar = top().querySelector("progress");
  if (!bar) return;
  bar.value = fraction;
  document.getElementById("progress-words").textContent = `${Math.floor(fraction * 100)} %`;
}

// --- log -----------------------------------------------------------------------------------

function addLine({ line = "", at }) {
  document.getElementById("log-empty")?.remove();
  const row = document.createElement("div");
  row.className = "log-line";
  const time = row.appendChild(document.createElement("time"));
  time.dateTime = at;
  time.textContent = clock(new Date(at)).slice(0, 8);
  row.appendChild(document.createElement("span")).textContent = line;
  row.hidden = !isWanted(row);
  lines.appendChild(row);
  while (lines.childElementCount > MOST_LINES) lines.firstElementChild.remove();
  toEnd();
}

function isWanted(row) {
  return row.textContent.toLowerCase().includes(words.value.trim().toLowerCase());
}

function toEnd() {
  if (following.checked) lines.scrollTop = lines.scrollHeight;
}

words.addEventListener("input", () => {
  for (const row of lines.querySelectorAll(".log-line")) row.hidden = !isWanted(row);
  toEnd();
});
following.addEventListener("change", toEnd);
lines.addEventListener("wheel", () => {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 30;
  if (!atEnd) following.checked = false; // one who reads upwards does not want to be pulled down
}, { passive: true });

// The reader's own zone, named once in the head of the log.
for (const time of lines.querySelectorAll("time")) time.textContent = clock(new Date(time.dateTime)).slice(0, 8);
document.getElementById("log-zone").textContent = clock(new Date()).slice(9);
freshTimes();
toEnd();
const live = followJob(page, { kinds: KINDS, take, refresh, isOver: () => top().dataset.final === "true" });

document.addEventListener("htmx:afterSettle", () => {
  freshTimes();
  live.redrawn();
});
