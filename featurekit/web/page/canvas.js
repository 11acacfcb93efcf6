// a view of a picture: zoom, pan, a keyboard's cursor, layers; every point is in pixels of the picture
import { h } from "/shell/dom.js";

const FEWEST = 0.02, MOST = 64; // zoom
const STILL = 4; // CSS px that a press may wander and still be a tap

export class View {
  /** Put a view into `container`. `label` names it for screen readers. */
  constructor(container, { label = "picture", tools = true } = {}) {
    this.width = this.height = 0; // of the picture, px
    this.base = null; // what is drawn over the whole picture: an image, a canvas, a bitmap
    this.scale = 1; // CSS px per pixel of the picture
    this.left = this.top = 0; // CSS px
    this.cursor = null; // of the keyboard, {x, y}
    this.layers = new Map();
    this.heard = new Map();
    this.fits = true;
    this.canvas = h("canvas", { "aria-hidden": "true" });
    this.where = h("span", { class: "sr", role: "status" });
    this.captionText = h("span", { class: "view-caption", hidden: true });
    this.root = h("div", { class: "view", tabIndex: 0, role: "application", "aria-label": label }, this.canvas, this.captionText, this.where);
    this.context = this.canvas.getContext("2d");
    if (tools) this.root.append(this.#tools());
    container.append(this.root);
    this.pressed = new Map(); // pointers by id
    this.#listen();
    new ResizeObserver(() => this.#resized()).observe(this.root);
  }

  /** Show a picture of `width` x `height` px; `image` may be of any size. Zoom stays if the size does. */
  setPicture(image, width, height) {
    const same = width === this.width && height === this.height;
    this.base = image;
    this.width = width;
    this.height = height;
    if (!same) { this.cursor = null; this.fit(); }
    this.redraw();
  }

  /** Draw something over the picture: draw(context, view), in CSS px; see toScreen. Null takes it away; higher
   *  layers are drawn later, those of one height in the order of their names' first use. */
  layer(name, draw, height = 0) {
    this.layers.set(name, { draw, height });
    this.redraw();
  }

  /** Hear "down", "move", "up", "hover", "leave", "tap", "cursor", "changed". Gives a function that ends it. */
  on(kind, hear) {
    if (!this.heard.has(kind)) this.heard.set(kind, new Set());
    this.heard.get(kind).add(hear);
    return () => this.heard.get(kind).delete(hear);
  }

  toScreen(x, y) { return [x * this.scale + this.left, y * this.scale + this.top]; }

  toPicture(x, y) { return [(x - this.left) / this.scale, (y - this.top) / this.scale]; }

  isInside(x, y) { return x >= 0 && y >= 0 && x <= this.width && y <= this.height; }

  caption(text) {
    this.captionText.textContent = text ?? "";
    this.captionText.hidden = !text;
  }

  /** Draw anew before the next frame, however often it is asked. */
  redraw() {
    if (this.asked) return;
    this.asked = requestAnimationFrame(() => { this.asked = 0; this.#draw(); });
  }

  /** See the whole picture. */
  fit() {
    const { clientWidth: w, clientHeight: t } = this.root;
    this.fits = true;
    if (!this.width || !w || !t) return;
    const edge = Math.min(24, w / 20);
    this.scale = Math.min((w - 2 * edge) / this.width, (t - 2 * edge) / this.height, 8);
    this.left = (w - this.width * this.scale) / 2;
    this.top = (t - this.height * this.scale) / 2;
    this.#moved();
  }

  /** Zoom by a factor about a point in CSS px, the middle without one. */
  zoom(factor, x = this.root.clientWidth / 2, y = this.root.clientHeight / 2) {
    if (!this.width) return;
    const next = Math.min(Math.max(this.scale * factor, FEWEST), MOST);
    this.left = x - (x - this.left) * (next / this.scale);
    this.top = y - (y - this.top) * (next / this.scale);
    this.scale = next;
    this.fits = false;
    this.#moved();
  }

  pan(dx, dy) {
    this.left += dx;
    this.top += dy;
    this.fits = false;
    this.#moved();
  }

  /** Move the keyboard's cursor, and the view with it where it would leave. */
  moveCursor(dx, dy) {
    if (!this.width) return;
    const from = this.cursor ?? { x: this.width / 2, y: this.height / 2 };
    const within = (value, most) => Math.min(Math.max(value, 0), most);
    this.cursor = { x: within(Math.round(from.x + dx), this.width), y: within(Math.round(from.y + dy), this.height) };
    const [x, y] = this.toScreen(this.cursor.x, this.cursor.y);
    const { clientWidth: w, clientHeight: t } = this.root;
    const shift = (at, most) => (at < 16 ? 16 - at : at > most - 16 ? most - 16 - at : 0);
    if (shift(x, w) || shift(y, t)) this.pan(shift(x, w), shift(y, t));
    this.where.textContent = `x ${this.cursor.x}, y ${this.cursor.y}`;
    this.#tell("cursor", { ...this.cursor });
    this.redraw();
  }

  #tools() {
    const button = (text, label, run) => h("button", { type: "button", "aria-label": label, title: label, onclick: run }, text);
    this.zoomText = button("100%", "See the whole picture (0)", () => this.fit());
    this.zoomText.className = "zoom";
    const tools = h("div", { class: "view-tools" }, button("−", "Zoom out (-)", () => this.zoom(1 / 1.25)), this.zoomText,
      button("+", "Zoom in (+)", () => this.zoom(1.25)));
    for (const kind of ["pointerdown", "pointerup", "pointermove", "dblclick"]) tools.addEventListener(kind, (event) => event.stopPropagation());
    return tools;
  }

  #moved() {
    if (this.zoomText) {
      const share = Math.round(this.scale * 100);
      this.zoomText.textContent = `${share}%`;
      this.zoomText.setAttribute("aria-label", `Zoom ${share} percent; see the whole picture (0)`);
    }
    this.#tell("changed", {});
    this.redraw();
  }

  #resized() {
    const dense = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(this.root.clientWidth * dense));
    this.canvas.height = Math.max(1, Math.round(this.root.clientHeight * dense));
    if (this.fits) this.fit();
    this.#draw();
  }

  #draw() {
    const { context, canvas } = this, dense = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.setTransform(dense, 0, 0, dense, 0, 0);
    if (!this.width) return;
    if (this.base) {
      context.imageSmoothingEnabled = this.scale < 4;
      context.imageSmoothingQuality = "high";
      context.drawImage(this.base, this.left, this.top, this.width * this.scale, this.height * this.scale);
    }
    for (const { draw } of [...this.layers.values()].sort((one, other) => one.height - other.height)) {
      if (!draw) continue;
      context.save();
      draw(context, this);
      context.restore();
    }
    if (this.cursor && this.root.matches(":focus-visible")) this.#drawCursor();
  }

  #drawCursor() {
    const [x, y] = this.toScreen(this.cursor.x, this.cursor.y);
    for (const [width, colour] of [[3, "#000a"], [1.25, "#fff"]]) {
      this.context.lineWidth = width;
      this.context.strokeStyle = colour;
      this.context.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        this.context.moveTo(x + 4 * dx, y + 4 * dy);
        this.context.lineTo(x + 13 * dx, y + 13 * dy);
      }
      this.context.stroke();
    }
  }

  #tell(kind, event) { for (const hear of this.heard.get(kind) ?? []) hear(event); }

  #at(event) {
    const box = this.root.getBoundingClientRect();
    const screen = [event.clientX - box.left, event.clientY - box.top];
    const [x, y] = this.toPicture(...screen);
    return { x, y, screen, inside: this.isInside(x, y), shift: event.shiftKey, alt: event.altKey, ctrl: event.ctrlKey || event.metaKey,
      pressure: event.pressure, kind: event.pointerType, key: false };
  }

  #listen() {
    const { root } = this;
    root.addEventListener("pointerdown", (event) => this.#down(event));
    root.addEventListener("pointermove", (event) => this.#move(event));
    for (const kind of ["pointerup", "pointercancel"]) root.addEventListener(kind, (event) => this.#up(event));
    root.addEventListener("pointerleave", () => this.#tell("leave", {}));
    root.addEventListener("contextmenu", (event) => event.preventDefault());
    root.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    root.addEventListener("keydown", (event) => this.#key(event));
    root.addEventListener("keyup", (event) => { if (event.key === " ") this.#grab(false); });
    root.addEventListener("blur", () => { this.#grab(false); this.redraw(); });
    root.addEventListener("focus", () => this.redraw());
  }

  #grab(on) {
    this.grabs = on;
    this.root.classList.toggle("grabs", on);
  }

  #down(event) {
    this.root.focus({ focusVisible: false, preventScroll: true });
    this.root.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.pressed.set(event.pointerId, { at, last: at.screen, still: true });
    if (this.pressed.size === 2) { // a second finger: what the first began ends, and both pan and zoom
      if (this.mode === "use") this.#tell("up", { ...at, cancelled: true });
      this.mode = "pinch";
    } else if (this.pressed.size === 1) {
      this.mode = this.grabs || event.button === 1 ? "pan" : event.button === 0 ? "use" : "none";
      if (this.mode === "use") this.#tell("down", at);
    }
  }

  #move(event) {
    const at = this.#at(event), press = this.pressed.get(event.pointerId);
    if (!press) { this.#tell("hover", at); return; }
    const [dx, dy] = [at.screen[0] - press.last[0], at.screen[1] - press.last[1]];
    if (Math.hypot(at.screen[0] - press.at.screen[0], at.screen[1] - press.at.screen[1]) > STILL) press.still = false;
    if (this.mode === "pinch" && this.pressed.size === 2) {
      const other = [...this.pressed.entries()].find(([id]) => id !== event.pointerId)[1].last;
      const apart = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]);
      const middle = [(at.screen[0] + other[0]) / 2, (at.screen[1] + other[1]) / 2];
      this.pan(dx / 2, dy / 2);
      this.zoom(apart(at.screen) / Math.max(apart(press.last), 1), ...middle);
    } else if (this.mode === "pan") this.pan(dx, dy);
    else if (this.mode === "use") this.#tell("move", { ...at, from: press.at });
    press.last = at.screen;
  }

  #up(event) {
    const press = this.pressed.get(event.pointerId);
    if (!press) return;
    this.pressed.delete(event.pointerId);
    const at = this.#at(event);
    if (this.mode === "use") {
      const cancelled = event.type === "pointercancel";
      this.#tell("up", { ...at, from: press.at, still: press.still, cancelled });
      if (press.still && !cancelled) this.#tell("tap", at);
    }
    if (!this.pressed.size) this.mode = null;
  }

  #wheel(event) {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : 1;
    if (event.shiftKey) { this.pan(-(event.deltaX || event.deltaY) * unit, 0); return; }
    const box = this.root.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY * unit * (event.ctrlKey ? 0.01 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
  }

  #key(event) {
    if (event.target !== this.root || event.ctrlKey || event.metaKey) return;
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const way = ways[event.key];
    if (way && event.altKey) this.pan(-60 * way[0], -60 * way[1]);
    else if (way) this.moveCursor(...way.map((one) => one * (event.shiftKey ? 10 : 1)));
    else if (event.key === "Enter" && this.width) this.#enter(event);
    else if (event.key === "+" || event.key === "=") this.zoom(1.25);
    else if (event.key === "-") this.zoom(1 / 1.25);
    else if (event.key === "0") this.fit();
    else if (event.key === " ") this.#grab(true);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #enter(event) {
    if (!this.cursor) this.moveCursor(0, 0);
    const { x, y } = this.cursor;
    this.#tell("tap", { x, y, screen: this.toScreen(x, y), inside: true, shift: event.shiftKey, alt: event.altKey, ctrl: false,
      pressure: 0.5, kind: "key", key: true });
  }
}

/** A dot with a rim, as points are drawn everywhere in the studio. */
export function dot(context, [x, y], colour, radius = 6) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.lineWidth = 2;
  context.strokeStyle = "#fff";
  context.stroke();
  context.beginPath();
  context.arc(x, y, radius + 1.5, 0, 2 * Math.PI);
  context.lineWidth = 1;
  context.strokeStyle = "#0009";
  context.stroke();
}

/** An arrow from a point to a point, in CSS px. */
export function arrow(context, [x, y], [u, v], colour = "#fff") {
  const angle = Math.atan2(v - y, u - x), length = Math.hypot(u - x, v - y);
  if (length < 1) return;
  const head = Math.min(12, length);
  for (const [width, stroke] of [[5, "#0008"], [2.5, colour]]) {
    context.lineWidth = width;
    context.strokeStyle = stroke;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(x, y);
    context.lineTo(u, v);
    context.moveTo(u - head * Math.cos(angle - 0.45), v - head * Math.sin(angle - 0.45));
    context.lineTo(u, v);
    context.lineTo(u - head * Math.cos(angle + 0.45), v - head * Math.sin(angle + 0.45));
    context.stroke();
  }
}

/** A colour of the theme, for the canvas: colour("--handle"). */
export function colour(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
