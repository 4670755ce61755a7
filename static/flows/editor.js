// The editor: Ace over the form's text area. It asks the server what is wrong while one types, and shows it under the
// line, in the gutter and in a list. Everything it does is also a button of the form, which works without it.
import { flowMode } from "./mode-flow.js";
import { liveGraphs } from "../portal/graph.js";
import { relative } from "../portal/times.js";

const { ace } = globalThis;
const form = document.getElementById("editor-form");
const area = form.elements.text;
const QUIET_MS = 300; // typing pauses this long before the text is checked

const editor = makeEditor();
const session = editor.getSession();
const { Range } = ace.require("ace/range");
const { LineWidgets } = ace.require("ace/line_widgets");
const draftKey = `draft:${form.dataset.flow}:${form.elements.base.value}`;

let saved = area.value;
let timer = 0;
let asking = null;
let markers = [];
let widgets = [];

function makeEditor() {
  ace.config.set("useStrictCSP", true);
  ace.config.set("basePath", form.dataset.ace);
  const host = document.getElementById("editor");
  host.hidden = false;
  const made = ace.edit(host, { value: area.value, mode: flowMode(ace), theme: { cssClass: "ace-flow", isDark: false, cssText: "" } });
  made.setOptions({
    useWorker: false, tabSize: 2, useSoftTabs: true, showPrintMargin: false, fontSize: 13, wrap: innerWidth < 700,
    scrollPastEnd: 0.2, fixedWidthGutter: true, enableKeyboardAccessibility: true, readOnly: area.readOnly,
  });
  made.textInput.getElement().setAttribute("aria-label", "Text of the flow");
  area.hidden = true;
  area.labels[0]?.classList.add("visually-hidden");
  return made;
}

// --- what is wrong -------------------------------------------------------------------------

async function check(extra = {}) {
  asking?.abort();
  asking = new AbortController();
  const body = new FormData();
  body.set("text", editor.getValue());
  body.set("flow", form.dataset.flow);
  for (const [key, value] of Object.entries(extra)) body.set(key, value);
  const headers = { "X-CSRFToken": form.elements.csrfmiddlewaretoken.value };
  const status = document.getElementById("check-status");
  try {
    const answer = await fetch(form.dataset.check, { method: "POST", body, headers, signal: asking.signal, redirect: "error" });
    if (!answer.ok) throw new Error(`the server answered ${answer.status}`);
    const result = await answer.json();
    show(result);
    return result;
  } catch (error) {
    if (error.name === "AbortError") return null;
    status.textContent = "Not checked: the server cannot be reached, or you were logged out. Your text is kept in this browser.";
    status.className = "warn small";
    return null;
  }
}

function show({ diagnostics, graph }) {
  session.setAnnotations(diagnostics.map((each) => ({
    row: each.line - 1, column: each.column - 1, text: said(each), type: each.severity === "error" ? "error" : "warning",
  })));
  markers.forEach((id) => session.removeMarker(id));
  markers = diagnostics.map((each) => {
    const range = new Range(each.line - 1, each.column - 1, each.end_line - 1, Math.max(each.end_column - 1, each.column));
    return session.addMarker(range, `flow-mark flow-mark-${each.severity}`, "text", true);
  });
  showUnderLines(diagnostics);
  showList(diagnostics);
  if (graph !== null) {
    const frame = document.getElementById("editor-graph");
    frame.querySelector(".graph-view").innerHTML = graph; // made and escaped by the server
    frame.classList.remove("is-live");
    frame.replaceWith(frame.cloneNode(true)); // without the listeners of the picture before
    liveGraphs();
  }
}

function said(diagnostic) {
  return `${diagnostic.message} [${diagnostic.code}]${diagnostic.hint ? `\n${diagnostic.hint}` : ""}`;
}

function showUnderLines(diagnostics) {
  if (!session.widgetManager) {
    session.widgetManager = new LineWidgets(session);
    session.widgetManager.attach(editor);
  }
  widgets.forEach((each) => session.widgetManager.removeLineWidget(each));
  const byRow = Map.groupBy ? Map.groupBy(diagnostics, (each) => each.line - 1) : grouped(diagnostics);
  widgets = [...byRow].slice(0, 50).map(([row, list]) => {
    const el = document.createElement("div");
    el.className = "flow-said";
    for (const each of list) {
      const line = el.appendChild(document.createElement("div"));
      line.className = `flow-said-${each.severity}`;
      line.textContent = each.message + (each.hint ? ` — ${each.hint}` : "");
    }
    const widget = { row: Math.min(row, session.getLength() - 1), fixedWidth: true, el, rowCount: list.length };
    session.widgetManager.addLineWidget(widget);
    return widget;
  });
}

function grouped(diagnostics) {
  const byRow = new Map();
  for (const each of diagnostics) byRow.set(each.line - 1, [...(byRow.get(each.line - 1) ?? []), each]);
  return byRow;
}

function showList(diagnostics) {
  const list = document.getElementById("problems");
  list.replaceChildren(...diagnostics.map((each) => {
    const item = document.createElement("li");
    item.className = `problem problem-${each.severity}`;
    const button = item.appendChild(document.createElement("button"));
    button.type = "button";
    button.dataset.line = each.line;
    button.dataset.column = each.column;
    const where = button.appendChild(document.createElement("span"));
    where.className = "mono quiet";
    where.textContent = `${each.line}:${each.column} ${each.code}`;
    button.appendChild(document.createElement("span")).textContent = each.message;
    if (each.hint) {
      const hint = button.appendChild(document.createElement("span"));
      hint.className = "quiet";
      hint.textContent = each.hint;
    }
    return item;
  }));
  const errors = diagnostics.filter((each) => each.severity === "error").length;
  const warnings = diagnostics.length - errors;
  const status = document.getElementById("check-status");
  status.className = errors ? "bad small" : "ok small";
  const counts = [[errors, "error"], [warnings, "warning"]].filter(([count]) => count);
  status.textContent = counts.map(([count, word]) => `${count} ${word}${count > 1 ? "s" : ""}`).join(", ") || "no problems";
}

document.getElementById("problems").addEventListener("click", (event) => {
  const button = event.target.closest("[data-line]");
  if (button) goTo(Number(button.dataset.line), Number(button.dataset.column));
});

function goTo(line, column = 1) {
  editor.gotoLine(line, column - 1, false);
  editor.focus();
}

// --- typing, saving, leaving ---------------------------------------------------------------

session.on("change", () => {
  area.value = editor.getValue();
  markUnsaved();
  clearTimeout(timer);
  timer = setTimeout(check, QUIET_MS);
});

function isUnsaved() {
  return editor.getValue() !== saved;
}

function markUnsaved() {
  document.getElementById("unsaved").hidden = !isUnsaved();
  try {
    if (isUnsaved()) localStorage.setItem(draftKey, JSON.stringify({ text: editor.getValue(), at: Date.now() }));
    else localStorage.removeItem(draftKey);
  } catch {
    // Storage may be full or forbidden: the guard on leaving still stands.
  }
}

addEventListener("beforeunload", (event) => {
  if (isUnsaved()) event.preventDefault();
});

let leaving = false; // saving twice at once would be a conflict with oneself

form.addEventListener("submit", (event) => {
  if (leaving) return event.preventDefault();
  leaving = true;
  area.value = editor.getValue();
  saved = area.value; // leaving is what one asked for; the draft stays until the next page knows it was saved
});

addEventListener("pageshow", () => {
  leaving = false; // back from where saving led
});

addEventListener("keydown", (event) => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "s") return;
  event.preventDefault();
  if (!event.repeat && !leaving) form.requestSubmit(document.getElementById("save"));
});

document.getElementById("format").addEventListener("click", async (event) => {
  event.preventDefault();
  const result = await check({ format: "1" });
  if (result?.formatted && result.formatted !== editor.getValue()) {
    const place = editor.getCursorPosition();
    session.doc.setValue(result.formatted);
    editor.moveCursorToPosition(place);
    editor.clearSelection();
  }
});

document.getElementById("editor-graph").parentElement.addEventListener("click", (event) => {
  const line = event.target.closest("[data-line]")?.dataset.line;
  if (line) goTo(Number(line));
});

// --- a text that was typed and never saved -------------------------------------------------

function offerDraft() {
  let draft = null;
  try {
    draft = JSON.parse(localStorage.getItem(draftKey));
  } catch {
    return;
  }
  if (!draft || draft.text === editor.getValue()) return;
  const offer = document.getElementById("draft");
  offer.hidden = false;
  offer.querySelector("[data-age]").textContent = relative(new Date(draft.at));
  offer.addEventListener("click", (event) => {
    const choice = event.target.closest("[data-draft]")?.dataset.draft;
    if (!choice) return;
    if (choice === "restore") editor.setValue(draft.text, -1);
    else localStorage.removeItem(draftKey);
    offer.hidden = true;
  });
}

offerDraft();
check();
const line = Number(new URLSearchParams(location.search).get("line"));
if (line) goTo(line);
else editor.focus();
