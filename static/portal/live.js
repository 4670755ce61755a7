// A live page follows the events of its job. The first connection starts after the last event the page was drawn with
// (data-last-event), later ones after the last that arrived (Last-Event-ID), so nothing is missed.

const RETRY_MS = 3000;

// `take(kind, event)` gets each event once, in order; `refresh` fetches the rows when the stream ended or was refused;
// `isOver` says whether the page shows the end. Call `redrawn` when a part of the page came anew from the server, which
// does not know how the stream is.
export function follow(page, { kinds, take, refresh, isOver }) {
  let seen = Number(page.dataset.lastEvent);
  let source = null;
  let said = ["connecting", ""];

  function show(...words) {
    said = words;
    const [text, kind] = said;
    const live = document.getElementById("live-state");
    if (!live) return;
    live.textContent = text;
    live.className = kind ? `live-${kind}` : "";
  }

  function hear(kind, event) {
    if (event.seq <= seen) return; // a reconnection may begin a little early
    seen = event.seq;
    take(kind, event);
  }

  function connect() {
    if (isOver()) return;
    const address = new URL(page.dataset.events, location.href);
    address.searchParams.set("lastEventId", seen);
    source = new EventSource(address);
    source.onopen = () => show("connected", "ok");
    source.onerror = () => {
      show("reconnecting", "off");
      if (source.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
      refresh(); // over, or refused: the rows say which
      setTimeout(connect, RETRY_MS);
    };
    for (const kind of kinds) source.addEventListener(kind, (message) => hear(kind, JSON.parse(message.data)));
  }

  function redrawn() {
    if (!isOver()) return show(...said);
    source?.close();
    show("finished", "");
  }

  redrawn();
  connect();
  return { redrawn };
}
