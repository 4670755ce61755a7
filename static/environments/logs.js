// The newest lines stand at the end of a log: there the reader begins.
function toEnd() {
  for (const lines of document.querySelectorAll("#answer .log-lines")) lines.scrollTop = lines.scrollHeight;
}

toEnd();
document.addEventListener("htmx:afterSettle", toEnd);
