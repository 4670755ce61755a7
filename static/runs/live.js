// The live run page. Rows are the truth: an event only says that there is something new to fetch, except for log lines
// and progress, which are shown as they come.
import { paint } from "../portal/graph.js";
import { follow as followJob } from "../portal/live.js";
import { clock, freshTimes } from "../portal/times.js";

const page = document.getElementById("run");
const log = document.getElementById("log");
const lines = document.getElementById("log-lines");
const MOST_LINES = 5000; // the browser keeps this many; the whole log can be downloaded
const MIN_GAP_MS = 400; // between two refreshes

let refreshing = 0;
let live = null;

// --- the fragment --------------------------------------------------------------------------

function refresh() {
  if (refreshing) return;
  refreshing = setTimeout(() => {
    refreshing = 0;
    globalThis.htmx.trigger("#run-top", "refresh");
  }, MIN_GAP_MS);
}

document.addEventListener("htmx:afterSettle", drawGraph);

function drawGraph() {
  const looks = {};
  for (const row of document.querySelectorAll("[data-step-node]")) {
    looks[row.dataset.stepNode] = { state: row.dataset.state, time: row.dataset.time, note: row.dataset.note };
  }
  for (const frame of document.querySelectorAll(".graph-frame")) paint(frame, looks);
  hideStaleProgress();
  live?.redrawn();
}

// --- events --------------------------------------------------------------------------------

const KINDS = ["state", "plan", "step", "check", "output", "cancel", "done", "log", "progress"];

function isOver() {
  return document.getElementById("run-top").dataset.final === "true";
}

function take(kind, event) {
  if (kind === "log") addLine(event);
  else if (kind === "progress") setProgress(event.fraction);
  else refresh();
}

// The engine's guess of how far it is can stand still for long, at any number: then it says nothing, and is not shown.
const STILL_MS = 4000;
let shownFraction = -1;
let movedAt = performance.now();

function hideStaleProgress() {
  const bar = document.querySelector("#run-top progress");
  if (!bar) return;
  if (bar.hasAttribute("value") && bar.value !== shownFraction) {
    shownFraction = bar.value;
    movedAt = performance.now();
  } else if (performance.now() - movedAt > STILL_MS) {
    bar.removeAttribute("value");
    document.getElementById("progress-words").textContent = "at work";
  }
}
setInterval(hideStaleProgress, 1000);

function setProgress(fraction) {
  const bar = document.querySelector("#run-top progress");
  if (!bar) return;
  bar.value = fraction;
  document.getElementById("progress-words").textContent = `${Math.floor(fraction * 100)} %`;
}

// --- log -----------------------------------------------------------------------------------

function addLine({ level = "info", step = "", message = "", at }) {
  document.getElementById("log-empty")?.remove();
  const line = document.createElement("div");
  line.className = `log-line is-${level}`;
  line.dataset.step = step ?? "";
  line.dataset.level = level;
  const time = line.appendChild(document.createElement("time"));
  time.dateTime = at;
  time.textContent = clock(new Date(time.dateTime)).slice(0, 8);
  line.appendChild(document.createElement("b")).textContent = level === "warning" ? "WARN" : level.toUpperCase();
  line.appendChild(document.createElement("i")).textContent = step ?? "";
  line.appendChild(document.createElement("span")).textContent = message;
  line.hidden = !isWanted(line);
  lines.appendChild(line);
  while (lines.childElementCount > MOST_LINES) lines.firstElementChild.remove();
  follow();
}

const controls = {
  words: document.getElementById("log-filter"),
  level: document.getElementById("log-level"),
  follow: document.getElementById("log-follow"),
  wrap: document.getElementById("log-wrap"),
};

function isWanted(line) {
  const words = controls.words.value.trim().toLowerCase();
  const level = controls.level.value;
  const isGrave = line.dataset.level !== "info";
  return (level === "all" || (level === "warnings" && isGrave) || level === `step:${line.dataset.step}`)
    && (!words || line.textContent.toLowerCase().includes(words));
}

function filter() {
  for (const line of lines.querySelectorAll(".log-line")) line.hidden = !isWanted(line);
  follow();
}

function follow() {
  if (controls.follow.checked) lines.scrollTop = lines.scrollHeight;
}

controls.words.addEventListener("input", filter);
controls.level.addEventListener("change", filter);
controls.follow.addEventListener("change", follow);
controls.wrap.addEventListener("change", () => log.classList.toggle("is-wrapped", controls.wrap.checked));
lines.addEventListener("wheel", () => {
  const atEnd = lines.scrollHeight - lines.scrollTop - lines.clientHeight < 30;
  if (!atEnd) controls.follow.checked = false; // one who reads upwards does not want to be pulled down
}, { passive: true });

// The reader's own zone, named once in the head of the log.
for (const time of lines.querySelectorAll("time")) time.textContent = clock(new Date(time.dateTime)).slice(0, 8);
document.getElementById("log-zone").textContent = clock(new Date()).slice(9);
freshTimes();
drawGraph();
follow();
live = followJob(page, { kinds: KINDS, take, refresh, isOver });
