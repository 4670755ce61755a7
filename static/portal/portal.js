// What every page has: times that stay fresh, shortcuts, dialogs behind buttons, graphs that fit and zoom.
import { liveGraphs } from "./graph.js";
import { freshTimes } from "./times.js";

const GOES = { o: "/", f: "/flows/", r: "/runs/", d: "/deployments/" };

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable=true], .ace_editor") !== null;
}

function focusSearch() {
  const input = [...document.querySelectorAll("[data-search]")].find((each) => each.offsetParent !== null);
  if (input) input.focus();
  else location.assign("/search/");
}

let wentAt = 0; // when "g" was pressed; the letter after it says where to

function onKey(event) {
  const control = event.ctrlKey || event.metaKey;
  const isSearch = (event.key === "/" && !control) || (event.key === "k" && control);
  if (event.altKey || isTyping(event.target) || !(isSearch || !control)) return;
  if (isSearch) take(event, focusSearch);
  else if (event.key === "?") take(event, () => document.getElementById("shortcuts")?.showModal());
  else if (event.key in GOES && Date.now() - wentAt < 1500) take(event, () => location.assign(GOES[event.key]));
  wentAt = event.key === "g" && !control ? Date.now() : 0;
}

function take(event, action) {
  event.preventDefault();
  event.stopImmediatePropagation(); // unfold listens for the same keys
  action();
}

document.addEventListener("keydown", onKey, true);

// <button data-dialog="id"> opens it; without JavaScript the form behind the button asks on a page of its own.
document.addEventListener("click", (event) => {
  const opener = event.target.closest("[data-dialog]");
  const dialog = opener && document.getElementById(opener.dataset.dialog);
  if (!dialog?.showModal) return;
  event.preventDefault();
  dialog.showModal();
});

// A filter takes effect when it is chosen.
document.addEventListener("change", (event) => {
  if (event.target.matches("form[data-submit-on-change] select")) event.target.form.requestSubmit();
});

freshTimes();
liveGraphs();
document.addEventListener("htmx:afterSwap", () => {
  freshTimes();
  liveGraphs();
});
