// The live page of a test run. An event only says that there is something new; the fragment brings the heads of the
// layers anew, and the cases that came after the last one shown.
import { follow } from "../portal/live.js";
import { freshTimes } from "../portal/times.js";

const page = document.getElementById("run");
const KINDS = ["state", "layer", "cases", "cancel", "progress"];
const MIN_GAP_MS = 300; // between two refreshes

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

freshTimes();
const live = follow(page, { kinds: KINDS, take: refresh, refresh, isOver: () => top().dataset.final === "true" });

document.addEventListener("htmx:afterSettle", () => {
  freshTimes();
  live.redrawn();
});
