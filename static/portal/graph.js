// A graph that fits its frame, zooms with the wheel (with Ctrl), two fingers, buttons and keys, and is moved by dragging.
// Without this file the picture is scaled down to its frame's width.

const CLOSEST = 2.5;

class LiveGraph {
  constructor(frame) {
    this.frame = frame;
    this.pointers = new Map();
    frame.classList.add("is-live");
    this.views = [...frame.querySelectorAll(".graph-view")];
    for (const view of this.views) this.listen(view);
    frame.addEventListener("keydown", (event) => this.onKey(event));
    frame.querySelector(".graph-tools")?.addEventListener("click", (event) => {
      const action = event.target.closest("[data-zoom]")?.dataset.zoom;
      if (action) this.act(action);
    });
    new ResizeObserver(() => this.fit()).observe(frame);
    this.fit();
  }

  get view() {
    return this.views.find((each) => each.offsetParent !== null);
  }

  get svg() {
    return this.view?.querySelector("svg");
  }

  size() {
    return { width: Number(this.svg.getAttribute("width")) || 1, height: Number(this.svg.getAttribute("height")) || 1 };
  }

  // The whole picture, never larger than life. The frame is as high as the picture needs, up to a limit.
  fit() {
    if (!this.svg) return;
    const { width, height } = this.size();
    const room = this.view.clientWidth;
    const most = Math.max(220, Math.min(innerHeight * (innerWidth < 640 ? 0.7 : 0.46), 520));
    const scale = Math.min(1, room / width, innerWidth < 640 ? Infinity : most / height);
    const high = Math.min(most, height * Math.max(scale, 0.35));
    this.view.style.height = `${Math.max(90, high)}px`;
    this.svg.style.height = "100%";
    this.scale = scale;
    this.least = Math.min(scale, 0.35);
    this.x = width / 2;
    this.y = Math.min(height / 2, this.view.clientHeight / scale / 2);
    if (height * scale <= this.view.clientHeight) this.y = height / 2;
    this.draw();
  }

  draw() {
    const wide = this.view.clientWidth / this.scale;
    const high = this.view.clientHeight / this.scale;
    const { width, height } = this.size();
    this.x = clamp(this.x, wide, width);
    this.y = clamp(this.y, high, height);
    this.svg.setAttribute("viewBox", `${this.x - wide / 2} ${this.y - high / 2} ${wide} ${high}`);
  }

  zoom(factor, at = null) {
    const before = this.scale;
    this.scale = Math.min(CLOSEST, Math.max(this.least, before * factor));
    if (at) {
      const box = this.view.getBoundingClientRect();
      const dx = at.clientX - box.left - box.width / 2;
      const dy = at.clientY - box.top - box.height / 2;
      this.x += dx / before - dx / this.scale;
      this.y += dy / before - dy / this.scale;
    }
    this.draw();
  }

  act(action) {
    if (action === "fit") this.fit();
    else this.zoom(action === "in" ? 1.25 : 0.8);
  }

  onKey(event) {
    const step = 60 / this.scale;
    const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(0.8);
    else if (event.key === "0") this.fit();
    else if (event.key in moves) {
      this.x += moves[event.key][0];
      this.y += moves[event.key][1];
      this.draw();
    } else return;
    event.preventDefault();
  }

  listen(view) {
    view.addEventListener("wheel", (event) => {
      if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY / 300), event);
    }, { passive: false });
    view.addEventListener("pointerdown", (event) => this.pointers.set(event.pointerId, event));
    view.addEventListener("pointermove", (event) => this.onMove(event));
    for (const end of ["pointerup", "pointercancel", "pointerleave"]) {
      view.addEventListener(end, (event) => this.pointers.delete(event.pointerId));
    }
    view.addEventListener("click", (event) => {
      if (this.dragged) event.preventDefault(); // the end of a drag is not a click on a node
      this.dragged = false;
    }, true);
    view.addEventListener("dragstart", (event) => event.preventDefault());
  }

  onMove(event) {
    const last = this.pointers.get(event.pointerId);
    if (!last) return;
    const others = [...this.pointers.values()].filter((each) => each.pointerId !== event.pointerId);
    if (others.length === 1) {
      const before = distance(last, others[0]);
      if (before > 0) this.zoom(distance(event, others[0]) / before, event);
    } else {
      this.dragged ||= distance(event, last) > 3;
      this.x -= (event.clientX - last.clientX) / this.scale;
      this.y -= (event.clientY - last.clientY) / this.scale;
      this.draw();
    }
    this.pointers.set(event.pointerId, event);
  }
}

// Where all of it is seen, it stands in the middle; else its edge stays at the frame's edge.
function clamp(middle, seen, size) {
  if (seen >= size) return size / 2;
  return Math.min(size - seen / 2, Math.max(seen / 2, middle));
}

function distance(one, other) {
  return Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
}

export function liveGraphs(root = document) {
  for (const frame of root.querySelectorAll(".graph-frame:not(.is-live)")) {
    if (frame.querySelector("svg")) new LiveGraph(frame);
  }
}

// The state of each node and of the edges between: `looks` maps a node's id to {state, time, note}.
export function paint(root, looks) {
  for (const node of root.querySelectorAll("[data-node]")) {
    const look = looks[node.dataset.node];
    if (!look) continue;
    node.dataset.state = look.state;
    node.querySelector(".node-time").textContent = look.time;
    const detail = node.querySelector(".node-detail");
    detail.textContent = look.note || detail.dataset.shown;
  }
  for (const edge of root.querySelectorAll(".edge")) {
    const start = looks[edge.dataset.from]?.state ?? "idle";
    const end = looks[edge.dataset.to]?.state ?? "idle";
    const done = start === "succeeded" && end === "succeeded";
    edge.dataset.state = end === "running" || end === "failed" ? end : done ? "succeeded" : "idle";
  }
}
