// The live page of a test run. An event only says that there is something new; the fragment brings the heads of the
// layers anew, and the cases that came after the last one shown.
import { freshTimes } from "../portal/times.js";

const page = document.getElementById("run");
const MIN_GAP_MS = 300; // between two refreshes

let seen = Number(page.dataset.lastEvent);
let waiting = 0;
let fetching = false;
let again = false;
let source = null;

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

document.addEventListener("htmx:beforeRequest", () => { fetching = true; });
document.addEventListener("htmx:afterRequest", () => {
  fetching = false;
  if (!again) return;
  again = false;
  refresh();
});
document.addEventListener("htmx:afterSettle", () => {
  freshTimes();
  if (top().dataset.final === "true") finish();
  else setLive(...liveness); // the fragment was drawn by the server, which does not know
});

function finish() {
  source?.close();
  setLive("finished", "");
}

let liveness = ["connecting", ""];

function setLive(...said) {
  liveness = said;
  const [text, kind] = said;
  const live = document.getElementById("live-state");
  live.textContent = text;
  live.className = kind ? `live-${kind}` : "";
}

const KINDS = ["state", "layer", "cases", "cancel", "progress"];

function connect() {
  if (top().dataset.final === "true") return;
  const address = new URL(page.dataset.events, location.href);
  address.searchParams.set("lastEventId", seen);
  source = new EventSource(address);
  source.onopen = () => setLive("connected", "ok");
  source.onerror = () => {
    setLive("reconnecting", "off");
    if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
    refresh(); // over, or refused: the rows say which
    setTimeout(connect, 3000);
  };
  for (const kind of KINDS) source.addEventListener(kind, (message) => take(JSON.parse(message.data)));
}

function take(event) {
  if (event.seq <= seen) return; // a reconnection may begin a little early
  seen = event.seq;
  refresh();
}

freshTimes();
connect();
