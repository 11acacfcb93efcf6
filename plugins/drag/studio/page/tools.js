// the pointer and the keyboard on the picture: points are pulled, masks and regions brushed, whatever the tool
import { listed, moved, rasterOf, removed } from "./document.js";
import { pointAt } from "./drawing.js";
import { holds, Raster } from "./raster.js";

export const TOOLS = [
  ["drag", "Drag", "v", "Press on what should move and pull it where it should be"],
  ["pin", "Pin", "p", "Click on what must stay"],
  ["brush", "Brush", "b", "Brush over what may change"],
  ["erase", "Eraser", "e", "Take from the mask"],
  ["lasso", "Lasso", "l", "Go around what may change; with Shift, take it away"],
  ["region", "Region", "r", "Brush the thing that moves, then pull it"],
];
const LEAST_PULL = 4; // CSS px of a drag; a shorter press is none
const ENDS = 12; // CSS px around where a lasso began, in which a click ends it

export class Tools {
  /** `desk`: {doc, change(label, doc, kind), live(doc), settle(), picture, say}; see tab.js. */
  constructor(view, desk) {
    Object.assign(this, { view, desk, tool: "drag", brush: 24, clicks: false, selected: null, pending: null, hover: null, held: null, path: null, live: null });
    view.on("down", (at) => this.#down(at));
    view.on("move", (at) => this.#move(at));
    view.on("up", (at) => this.#up(at));
    view.on("tap", (at) => this.#tap(at));
    view.on("hover", (at) => { this.hover = at.screen; this.#cursor(at); view.redraw(); });
    view.on("leave", () => { this.hover = null; view.redraw(); });
    view.on("cursor", () => { this.hover = null; });
    view.root.addEventListener("keydown", (event) => this.#key(event), true);
  }

  get isBusy() { return this.held !== null; }

  get brushes() { return ["brush", "erase", "region"].includes(this.tool); }

  /** Whether points are taken hold of; what paints, paints over them. */
  get #grips() { return this.tool === "drag" || this.tool === "pin"; }

  choose(tool) {
    Object.assign(this, { tool, pending: null, path: null });
    this.view.root.dataset.tool = tool;
    this.view.redraw();
  }

  select(point) {
    this.selected = point;
    this.desk.selected?.();
    this.view.redraw();
  }

  remove() {
    if (this.pending || this.path) { Object.assign(this, { pending: null, path: null }); this.view.redraw(); return; }
    if (!this.selected || !this.#exists(this.selected)) return;
    const { kind } = this.selected, { doc } = this.desk;
    const gone = removed(doc, this.selected);
    this.selected = null;
    this.desk.change(`remove the ${kind === "pin" || kind === "region" ? kind : "drag"}`, gone);
  }

  #exists({ kind, i }) { return listed(this.desk.doc, this.desk.picture).some((one) => one.kind === kind && one.i === i); }

  #down(at) {
    if (this.desk.wakes()) { this.held = { what: "nothing", wakes: true }; return; }
    const { doc } = this.desk, hit = this.#grips ? pointAt(this.view, doc, at.screen, this.selected, at.kind === "touch") : null;
    if (hit && !(this.clicks && this.pending)) { this.#hold(hit, at); return; }
    if (this.tool === "region") { this.#downRegion(at); return; }
    if (this.clicks || !at.inside) { this.held = { what: "nothing" }; return; }
    if (this.tool === "drag") {
      const [x, y] = [at.x, at.y].map((one) => Math.round(one * 100) / 100);
      this.held = { what: "new", before: doc, i: doc.drags.length };
      this.selected = { kind: "target", i: doc.drags.length };
      this.desk.live({ ...doc, drags: [...doc.drags, { x, y, u: x, v: y }] }, true);
    } else if (this.tool === "lasso") { this.path = [[at.x, at.y]]; this.held = { what: "lasso" }; } else if (this.brushes) this.#brush(at, "mask");
    else this.held = { what: "nothing" };
  }

  #hold(point, at) {
    const place = listed(this.desk.doc, this.desk.picture).find((one) => one.kind === point.kind && one.i === point.i);
    this.held = { what: "point", point, before: this.desk.doc, by: [place.x - at.x, place.y - at.y], moved: false };
    this.select(point);
  }

  #downRegion(at) {
    const { doc, picture } = this.desk;
    const under = doc.regions.findLastIndex(({ mask, dx, dy }) => [[dx, dy], [0, 0]].some(([x, y]) => holds(mask, (at.x - x) / picture.width, (at.y - y) / picture.height)));
    if (under >= 0 && !at.shift) { this.#hold({ kind: "region", i: under }, at); return; }
    if (!at.inside) { this.held = { what: "nothing" }; return; }
    const one = this.selected?.kind === "region" ? doc.regions[this.selected.i] : null;
    const grows = one && (at.shift || (one.dx === 0 && one.dy === 0));
    this.#brush(at, grows ? this.selected.i : "region");
  }

  #brush(at, of) {
    const { doc, picture } = this.desk, size = rasterOf(picture);
    const mask = of === "mask" ? doc.mask : of === "region" ? null : doc.regions[of].mask;
    const raster = new Raster(size, mask);
    const erases = this.tool === "erase" || (this.tool === "brush" && at.alt);
    if (erases && !mask) { this.desk.say("There is no mask yet"); this.held = { what: "nothing" }; return; }
    this.live = { raster, of };
    this.held = { what: "brush", of, erases, last: this.#onRaster(at) };
    raster.stroke(this.held.last, this.held.last, this.#radius(at), erases);
    this.view.redraw();
  }

  #onRaster({ x, y }) {
    const { raster } = this.live, { picture } = this.desk;
    return [(x / picture.width) * raster.width, (y / picture.height) * raster.height];
  }

  #radius(at) {
    const scale = this.live.raster.width / this.desk.picture.width;
    return Math.max(0.5, this.brush * scale * (at.kind === "pen" ? 0.4 + 1.2 * at.pressure : 1));
  }

  #move(at) {
    this.hover = at.screen;
    const { held } = this, { picture } = this.desk;
    if (!held) return;
    if (held.what === "brush") {
      const here = this.#onRaster(at);
      this.live.raster.stroke(held.last, here, this.#radius(at), held.erases);
      held.last = here;
    } else if (held.what === "lasso") this.path.push([at.x, at.y]);
    else if (held.what === "new") this.desk.live(moved(this.desk.doc, { kind: "target", i: held.i }, at.x, at.y, picture), true);
    else if (held.what === "point" && (held.moved || Math.hypot(at.screen[0] - this.view.toScreen(at.from.x, 0)[0], at.screen[1] - this.view.toScreen(0, at.from.y)[1]) > 2)) {
      held.moved = true;
      this.desk.live(moved(held.before, held.point, at.x + held.by[0], at.y + held.by[1], picture), true);
    }
    this.view.redraw();
  }

  #up(at) {
    const { held } = this;
    this.held = null;
    this.woke = Boolean(held?.wakes);
    if (!held) return;
    if (held.what === "brush") this.#brushed(held, at.cancelled);
    else if (held.what === "lasso") {
      if (!at.still && !at.cancelled && this.path.length > 2) this.#enclosed(this.path, at.shift || at.alt);
      this.path = null;
    } else if (held.what === "new") this.#pulled(held, at);
    else if (held.what === "point" && held.moved) {
      if (at.cancelled) this.desk.live(held.before, false);
      else this.desk.change(`move the ${held.point.kind}`, this.desk.doc, null, held.before);
    }
    this.view.redraw();
  }

  #pulled(held, at) {
    const drag = this.desk.doc.drags[held.i];
    const far = Math.hypot(drag.u - drag.x, drag.v - drag.y) * this.view.scale;
    if (at.cancelled || far < LEAST_PULL) {
      this.selected = null;
      this.desk.live(held.before, false);
      if (!at.cancelled) this.desk.say("Pull from there to where it should be; or turn on “Click, then click”");
    } else this.desk.change("drag", this.desk.doc, null, held.before);
    this.desk.selected?.();
  }

  #brushed({ of, erases }, cancelled) {
    const { raster } = this.live, { doc } = this.desk;
    this.live = null;
    if (cancelled) return;
    const mask = raster.mask;
    if (of === "mask") this.desk.change(erases ? "erase" : "brush", { ...doc, mask });
    else if (of === "region" && mask) {
      this.selected = { kind: "region", i: doc.regions.length };
      this.desk.change("brush a region", { ...doc, regions: [...doc.regions, { mask, dx: 0, dy: 0 }] });
      this.desk.say("Now pull the region where it should be");
    } else if (mask) this.desk.change("brush the region", { ...doc, regions: doc.regions.map((one, i) => (i === of ? { ...one, mask } : one)) });
  }

  #enclosed(path, erases) {
    const { doc, picture } = this.desk, size = rasterOf(picture);
    const raster = new Raster(size, doc.mask);
    raster.lasso(path.map(([x, y]) => [(x / picture.width) * size.width, (y / picture.height) * size.height]), erases);
    this.desk.change("lasso", { ...doc, mask: raster.mask });
  }

  /** A click, or Enter at the keyboard's cursor: all that is done by pulling, without it. */
  #tap(at) {
    const { doc, picture } = this.desk;
    const byClicks = this.clicks || at.key;
    if (!at.inside || (at.key ? this.desk.wakes() : this.woke)) return;
    const place = { x: Math.round(at.x * 100) / 100, y: Math.round(at.y * 100) / 100 };
    const hit = this.#grips ? pointAt(this.view, doc, at.screen, null, at.kind === "touch") : null;
    if (this.tool === "pin" && !hit) {
      this.desk.change("pin", { ...doc, pins: [...doc.pins, place] });
      this.select({ kind: "pin", i: doc.pins.length });
    } else if (this.tool === "lasso" && byClicks) this.#corner(at);
    else if (this.tool === "region" && byClicks && this.selected?.kind === "region") {
      this.desk.change("move the region", moved(doc, this.selected, at.x, at.y, picture));
    } else if (this.brushes && byClicks) this.#dab(at);
    else if (this.tool === "drag" && byClicks && this.pending) {
      const i = doc.drags.length, drag = { x: this.pending.x, y: this.pending.y, u: place.x, v: place.y };
      this.pending = null;
      if (drag.x === drag.u && drag.y === drag.v) return;
      this.selected = { kind: "target", i };
      this.desk.change("drag", { ...doc, drags: [...doc.drags, drag] });
    } else if (hit) this.select(hit);
    else if (this.tool === "drag" && byClicks) {
      this.pending = place;
      this.desk.say("Now click where it should be");
    } else if (this.tool === "drag" || this.tool === "pin") this.select(null);
    this.view.redraw();
  }

  /** One dab of the brush. */
  #dab(at) {
    this.#brush(at, this.tool === "region" ? "region" : "mask");
    const { held } = this;
    this.held = null;
    if (held.what === "brush") this.#brushed(held, false);
  }

  /** One corner of a lasso that is clicked. */
  #corner(at) {
    const [first] = this.path ?? [];
    const near = first && Math.hypot(...this.view.toScreen(...first).map((one, i) => one - at.screen[i])) < ENDS;
    if (near && this.path.length > 2) { this.#enclosed(this.path, at.shift || at.alt); this.path = null; return; }
    this.path = [...(this.path ?? []), [at.x, at.y]];
    this.desk.say(this.path.length > 2 ? "Click where the lasso began to end it" : "Click the next corner");
  }

  #cursor(at) {
    const hit = this.#grips ? pointAt(this.view, this.desk.doc, at.screen, this.selected, false) : null;
    this.view.root.classList.toggle("over-point", Boolean(hit));
  }

  #key(event) {
    if (event.target !== this.view.root || event.ctrlKey || event.metaKey || event.altKey) return;
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (way && this.selected && this.#exists(this.selected)) {
      const { doc, picture } = this.desk, step = event.shiftKey ? 10 : 1;
      const { x, y } = listed(doc, picture).find((one) => one.kind === this.selected.kind && one.i === this.selected.i);
      const next = moved(doc, this.selected, x + way[0] * step, y + way[1] * step, picture);
      this.desk.change(`move the ${this.selected.kind}`, next, `nudge ${this.selected.kind} ${this.selected.i}`);
    } else if (event.key === "Escape") {
      Object.assign(this, { pending: null, path: null });
      this.select(null);
    } else if (event.key === "Delete" || event.key === "Backspace") this.remove();
    else return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }
}
