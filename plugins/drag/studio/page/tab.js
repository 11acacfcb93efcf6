// the tab Drag: joins the picture, the tools, the preview, the panel and the session on the server
import { asked, EMPTY, recalled, remembered } from "./document.js";
import { drawAll } from "./drawing.js";
import { applying, asking, toolbar } from "./panel.js";
import { Preview } from "./preview.js";
import { results } from "./results.js";
import { Tools, TOOLS } from "./tools.js";
import { tree } from "./tree.js";

const PYTHON_MS = 400, BRUSHES = [2, 200];

export async function mount(root, studio) {
  const sheet = studio.dom.h("link", { rel: "stylesheet", href: "/tab/drag/drag.css" });
  const ready = new Promise((done) => { sheet.onload = sheet.onerror = done; });
  document.head.append(sheet);
  await ready;
  root.drag = new DragTab(root, studio);
  await root.drag.begin();
}

class DragTab {
  constructor(root, studio) {
    Object.assign(this, { studio, doc: EMPTY, picture: null, told: null, job: null, state: "", isRefused: false, shows: "plan", isCompared: false, text: "", round: 0 });
    this.images = { before: null, result: null, live: null };
    const { dom } = studio, { h } = dom, saved = studio.saved ?? {};
    const stage = h("div", { class: "stage drag-stage" });
    this.view = studio.view(stage, { label: "Picture to drag. Enter clicks at the cursor, arrows move the cursor or the selected point" });
    this.tools = new Tools(this.view, this);
    Object.assign(this.tools, { brush: saved.brush ?? 24, clicks: saved.clicks ?? false });
    this.preview = new Preview(studio, () => this.view.redraw(), (what, value) => this.#previewed(what, value));
    this.parts = [toolbar(h, this), asking(h, dom, this), applying(h, this), results(h, this), tree(h, this)];
    const [bar, ask, apply, result, steps] = this.parts;
    this.shown = dom.segments({ label: "What is shown", options: [["plan", "Plan"], ["result", "Result"]], value: "plan", onchange: (value) => this.look(value) });
    this.shown.root.classList.add("drag-shown");
    this.slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Before to the left, after to the right", oninput: () => this.view.redraw() });
    this.sliding = h("div", { class: "drag-slider", hidden: true }, h("span", {}, "Before"), this.slider, h("span", {}, "After"));
    stage.append(bar.root, this.shown.root, this.sliding);
    root.append(h("div", { class: "workbench" }, stage, h("aside", { class: "panel drag-panel", tabIndex: 0, "aria-label": "Drag" }, ask.root, apply.root, result.result, steps.root, result.files)));
    this.view.layer("preview", (context, view) => { if (this.shows === "plan" && !this.job) this.preview.draw(context, view); });
    this.view.layer("compare", (context, view) => this.#drawBefore(context, view));
    this.view.layer("points", (context, view) => drawAll(context, view, studio.canvas, { ...this.tools, doc: this.doc,
      brush: this.tools.brushes ? this.tools.brush : 0, dims: Boolean(this.job), hides: this.shows === "result" }));
    this.use(saved.tool ?? "drag");
    this.#listen();
  }

  async begin() {
    this.job = this.studio.jobs.find((job) => ["running", "waiting"].includes(job.status)) ?? null;
    await this.#newPicture();
  }

  #listen() {
    const { studio } = this;
    studio.on("picture", () => this.#newPicture());
    studio.on("model", () => { this.show(); if (studio.model.status === "ready" && this.picture) this.#tell(); });
    studio.on("job", (job) => this.#hearJob(job));
    studio.on("told", ({ job, values }) => { if (values.picture && this.job?.id === job) this.#live(values); });
    studio.on("tab", ({ name, values }) => this.#heard(name, values));
    studio.on("undo", () => this.show());
    studio.on("theme", () => this.view.redraw());
    studio.on("shown", () => this.view.redraw());
    for (const [name, title, key] of TOOLS) studio.key(key, title.toLowerCase(), () => this.use(name));
    studio.key("[", "smaller brush", () => this.brush(Math.round(this.tools.brush / 1.2)));
    studio.key("]", "larger brush", () => this.brush(Math.ceil(this.tools.brush * 1.2)));
    studio.key("a", "apply", () => this.apply());
    studio.key("k", "before and after", () => this.compare());
    studio.key("x", "remove the selected point", () => this.tools.remove());
    studio.python(() => this.text);
  }

  // what is asked for

  change(label, doc, kind = null, before = this.doc) {
    this.live(doc, false);
    this.studio.undo.did(label, () => this.live(before, false), () => this.live(doc, false), kind);
    this.#save();
  }

  live(doc, isPulling) {
    this.doc = doc;
    if (this.shows === "result") this.look("plan");
    if (!isPulling) { this.show(); this.#save(); } else this.parts[1].show();
    this.#want(isPulling);
    this.view.redraw();
  }

  selected() { this.parts[1].show(); }

  /** Whether a press on the picture only brings the plan back, from what came of it. */
  wakes() {
    if (this.shows !== "result" || this.job) return Boolean(this.job);
    this.look("plan");
    this.say("The plan again; “Keep, and go on” makes the result the picture");
    return true;
  }

  say(sentence) { this.studio.say(sentence); }

  use(tool) {
    this.tools.choose(tool);
    this.show();
    this.#save();
  }

  byClicks(on) {
    this.tools.clicks = on;
    this.tools.choose(this.tools.tool);
    this.#save();
  }

  brush(px) {
    this.tools.brush = Math.min(Math.max(px, BRUSHES[0]), BRUSHES[1]);
    this.parts[1].show();
    this.view.redraw();
    this.#save();
  }

  async #want(isPulling) {
    const round = ++this.round;
    if (this.shows !== "plan" || this.job || !this.picture) return;
    const { model } = this.studio;
    if (model.status !== "ready") { this.#say(model.status === "failed" ? model.error : "The preview waits for the model …", model.status === "failed"); return; }
    const found = await asked(this.studio, this.doc, isPulling);
    if (round !== this.round) return;
    if (found) this.preview.want(found, this.picture, !isPulling); else { this.preview.clear(); this.#say(""); }
    if (!isPulling) this.#python(found);
  }

  #previewed(what, value) {
    if (what === "waits" && !this.state) this.#say("Reading the picture …");
    else if (what === "refused") this.#say(value.message, true);
    else if (what === "shown") this.#say(value.found ? "" : "Nothing stands out under the handle, so all that may change moves. Brush a mask around one thing.");
  }

  #say(sentence, isRefused = false) {
    if (sentence === this.state && isRefused === this.isRefused) return;
    Object.assign(this, { state: sentence, isRefused });
    this.parts[2].show();
  }

  #python(found) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(async () => {
      try { this.text = (await this.studio.act("python", this.shows === "result" || !found ? {} : found)).text; } catch { this.text = ""; }
    }, PYTHON_MS);
  }

  #save() {
    if (!this.picture) return;
    const { tool, brush, clicks } = this.tools;
    this.studio.save({ tool, brush, clicks, pictures: remembered(this.studio.saved, this.picture.id, this.doc) });
  }

  // pictures

  async #newPicture() {
    const { studio } = this, { picture } = studio;
    if (picture?.id === this.picture?.id) return;
    if (this.picture) studio.undo.clear();
    this.picture = picture;
    this.preview.forget();
    Object.assign(this, { told: null, shows: "plan", isCompared: false, state: "" });
    Object.assign(this.tools, { selected: null, pending: null, path: null });
    if (!picture) return;
    this.doc = this.given ?? { ...EMPTY, ...studio.saved?.pictures?.[picture.id] };
    this.given = null;
    this.#save();
    this.images = { before: await studio.image(picture.id), result: null, live: null };
    if (picture.id !== this.picture?.id) return;
    this.view.setPicture(this.images.before, picture.width, picture.height);
    this.show();
    if (studio.model.status === "ready") await this.#tell(); else this.#want(false);
  }

  /** Ask for the session's state, which waits until the model is loaded. */
  async #tell() {
    try {
      const told = await this.studio.act("told");
      if (told.picture === this.picture?.id) await this.#take(told);
    } catch (error) { this.#say(error.message, true); }
  }

  async #take(told, shows = this.told === null && told.edit ? "result" : this.shows) {
    const { studio, picture, doc } = this;
    const source = sourceOf(told), same = this.told && sourceOf(this.told) === source;
    this.told = told;
    if (!same) {
      this.preview.forget();
      const from = told.steps.find((one) => one.number === source);
      this.images.before = from.kind === "picture" && from.number === 0 ? await studio.image(picture.id)
        : await studio.image((await studio.act("picture", { step: source, of: "before" })).picture);
    }
    this.images.live = null;
    this.images.result = told.edit ? await studio.image((await studio.act("picture", { step: told.now })).picture) : null;
    this.look(told.edit && this.doc === doc ? shows : "plan"); // who pulled meanwhile goes on pulling
  }

  look(what) {
    this.shows = what === "result" && this.images.result ? "result" : "plan";
    if (this.shows === "plan") this.isCompared = false;
    this.#base();
    this.show();
    if (this.shows === "plan") this.#want(false); else this.#python(null);
  }

  #base() {
    const { before, result, live } = this.images;
    const image = (this.job && live) || (this.shows === "result" ? result : before);
    if (image && this.picture) this.view.setPicture(image, this.picture.width, this.picture.height);
  }

  compare() {
    if (!this.images.result) { this.say("There is no result yet"); return; }
    this.isCompared = !this.isCompared;
    if (this.isCompared && this.shows !== "result") { this.look("result"); this.isCompared = true; }
    this.show();
    if (this.isCompared) this.slider.focus({ preventScroll: true });
  }

  #drawBefore(context, view) {
    if (!this.isCompared || this.job) return;
    const at = view.left + (view.width * view.scale * this.slider.value) / 100, top = view.top, tall = view.height * view.scale;
    context.save();
    context.beginPath();
    context.rect(view.left, top, at - view.left, tall);
    context.clip();
    context.drawImage(this.images.before, view.left, top, view.width * view.scale, tall);
    context.restore();
    for (const [width, colour] of [[4, "#0006"], [2, "#fff"]]) {
      context.fillStyle = colour;
      context.fillRect(at - width / 2, top, width, tall);
    }
  }

  // edits

  async apply(others = false) {
    if (this.job || this.told?.going) return;
    if (others && this.told?.edit?.drags) { // the same again, whatever the points are now
      const doc = await recalled(this.studio, this.told.edit.drags, this.picture);
      this.change("other candidates", { ...doc, seed: doc.seed + 1 });
    }
    const found = await asked(this.studio, this.doc);
    if (!found) { this.say("Pull a point first"); return; }
    this.before = this.told?.now ?? 0;
    this.tools.select(null);
    await this.studio.job("apply", found);
  }

  async resume() {
    this.before = this.told?.now ?? 0;
    await this.studio.job("resume");
  }

  async stop() { if (this.job) await this.studio.stop(this.job.id); }

  async discard() { await this.#take(await this.studio.act("discard"), "plan"); }

  async #hearJob(job) {
    const goesOn = ["running", "waiting"].includes(job.status);
    if (goesOn) {
      const begins = !this.job;
      this.job = job;
      if (begins) { this.preview.clear(); this.isCompared = false; this.#base(); this.show(); } else this.parts[2].show();
      return;
    }
    if (this.job?.id !== job.id) return;
    this.job = null;
    this.view.caption("");
    if (job.status === "failed") this.#say(job.line, true);
    await this.#tell();
    if (job.status === "done") {
      const from = this.before ?? 0, to = job.result.step;
      this.studio.undo.did("apply", () => this.#go(from, "plan"), () => this.#go(to, "result"));
    }
    this.look(job.status === "done" ? "result" : "plan");
    if (job.status === "done") this.parts[3].result.scrollIntoView({ block: "start" });
    if (job.status === "failed") this.#say(job.line, true);
  }

  async #live({ name, picture }) {
    const image = await this.studio.image(picture);
    if (!this.job) return;
    this.images.live = image;
    this.view.caption(name === "warp" ? "Moved; what it uncovered comes next" : "Redrawing, as it comes");
    this.#base();
  }

  #heard(name, values) {
    if (name === "note") this.say(values.line);
    else if (name === "reading" && !this.job && !this.preview.cut && values.of) this.#say(values.done < values.of ? `Reading the picture: ${values.done} of ${values.of}` : "");
  }

  async #go(step, shows) { await this.#take(await this.studio.act("go", { step }), shows); }

  /** Go to a step of the history, with the points that made it. */
  async visit(step) {
    if (this.job) { this.say("Stop the edit first"); return; }
    const from = this.told.now, before = this.doc;
    await this.#go(step, "result");
    const { edit } = this.told;
    const after = edit?.drags ? await recalled(this.studio, edit.drags, this.picture) : before;
    const set = (doc) => { this.doc = doc; this.#save(); this.show(); };
    set(after);
    this.studio.undo.did("history", async () => { set(before); await this.#go(from, "result"); }, async () => { set(after); await this.#go(step, "result"); });
  }

  async pick(candidate) {
    const from = this.told.now;
    if (candidate === this.told.edit.chosen) return;
    await this.#take(await this.studio.act("choose", { candidate }), "result");
    const to = this.told.now;
    this.studio.undo.did("candidate", () => this.#go(from, "result"), () => this.#go(to, "result"));
  }

  async accept() {
    const from = this.told.now, before = this.doc, after = { ...EMPTY, prompt: before.prompt, mask: before.mask };
    this.doc = after;
    await this.#take(await this.studio.act("accept"), "plan");
    const to = this.told.now;
    const set = (doc) => { this.doc = doc; this.#save(); };
    set(after);
    this.say("The result is the picture now; pull on");
    this.studio.undo.did("go on", async () => { set(before); await this.#go(from, "result"); }, async () => { set(after); await this.#go(to, "plan"); });
  }

  /** Put a bundled scene on the desk, with its drag and its mask. */
  async example() {
    const { parts, points, side } = await this.studio.act("scene");
    this.given = { ...EMPTY, drags: points.map(([x, y, u, v]) => ({ x, y, u, v })), mask: { width: side, height: side, runs: [...new Uint32Array(parts.runs)] } };
    const { id } = await this.studio.upload(new File([parts.picture], "dog.png", { type: "image/png" }));
    if (!this.given || this.picture?.id !== id) return; // its picture comes, or has come
    const given = this.given; // it was on the desk already
    this.given = null;
    this.change("the example", given);
  }

  async export(kind) {
    const { address, name } = await this.studio.act("export", { kind });
    this.studio.download(address, name);
    this.say(`Saved as ${name}`);
  }

  show() {
    for (const part of this.parts) part.show();
    this.shown.root.hidden = !this.images.result || Boolean(this.job);
    this.shown.value = this.shows;
    this.sliding.hidden = !this.isCompared || Boolean(this.job);
    this.view.redraw();
  }
}

/** The number of the step whose picture is the one that is dragged now. */
function sourceOf({ steps, now }) {
  const by = new Map(steps.map((one) => [one.number, one]));
  let step = by.get(now);
  while (!["picture", "accepted"].includes(step.kind) && by.has(step.before)) step = by.get(step.before);
  return step.number;
}
