// the tab Sketch: joins the picture, the styles, what is learnt and the server
import { about, cards } from "./cards.js";
import { asked, hindrance, inWords, joined, known, NONE, picked, same, shared } from "./choice.js";
import { folder, saving } from "./files.js";
import { Folder } from "./batch.js";
import { icon } from "./icons.js";
import { pairing, standing, working } from "./learning.js";
import { SHOWN, Stage } from "./stage.js";
import { Teaching } from "./teaching.js";

const ACTIVE = ["running", "waiting"];
const SHARES_MS = 300; // of rest after a share was changed, before the picture is drawn anew

export async function mount(root, studio) {
  const sheet = studio.dom.h("link", { rel: "stylesheet", href: "/tab/sketch/sketch.css" });
  const ready = new Promise((done) => { sheet.onload = sheet.onerror = done; });
  document.head.append(sheet);
  await ready;
  root.sketch = new SketchTab(root, studio);
  await root.sketch.begin();
}

class SketchTab {
  constructor(root, studio) {
    const saved = studio.saved ?? {}, { dom } = studio, { h } = dom;
    Object.assign(this, { studio, told: null, styles: [], choice: { ...NONE, ...saved.choice }, isMixing: (saved.choice?.styles.length ?? 0) > 1,
      picture: null, drawn: null, trouble: "", text: "", isStopping: false, isStale: false, isHidden: false, jobs: new Map(), wanted: null });
    this.teaching = new Teaching(this, saved);
    this.batch = new Folder(this, saved);
    const container = h("div", { class: "stage sketch-stage" });
    this.stage = new Stage(container, this, saved);
    const step = (does) => h("button", { type: "button", class: "icon quiet", "aria-label": does, onclick: () => studio.undo[does.toLowerCase()]() }, icon(does.toLowerCase()));
    this.steps = [step("Undo"), step("Redo")];
    container.append(h("div", { class: "sketch-tools", role: "toolbar", "aria-label": "Steps" }, this.steps));
    this.said = h("p", { class: "small-text sketch-state", id: "sketch-state", role: "status" });
    this.bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the sketch" });
    this.again = h("button", { type: "button", class: "main", id: "sketch-draw", onclick: () => this.draw(true) }, "Draw");
    const state = h("section", { class: "group", "aria-label": "Sketch" }, this.said, this.bar, this.again);
    this.parts = [cards(h, dom, this), about(h, this), working(h, this), saving(h, this), pairing(h, dom, this), folder(h, this)];
    const [style, own, work, files, pair, batch] = this.parts.map((part) => part.root);
    root.append(h("div", { class: "workbench" }, container, h("aside", { class: "panel sketch-panel", tabIndex: 0, "aria-label": "Sketch" }, style, state, own, work, files, pair, batch)));
    this.#listen();
  }

  async begin() {
    for (const job of this.studio.jobs) if (ACTIVE.includes(job.status)) this.jobs.set(job.name, job);
    await this.#newPicture();
  }

  #listen() {
    const { studio } = this;
    studio.on("picture", () => { this.arriving = this.#newPicture(); });
    studio.on("model", () => { this.show(); if (studio.model.status === "ready") this.tell().then(() => this.draw()); });
    studio.on("job", (job) => this.#hearJob(job));
    studio.on("told", ({ job, values }) => this.#hearTold(job, values));
    studio.on("tab", ({ name }) => { if (name === "styles") this.tell(); });
    studio.on("undo", () => this.show());
    studio.on("theme", () => this.stage.view.redraw());
    studio.on("hidden", () => { this.isHidden = true; });
    studio.on("shown", () => {
      this.isHidden = false;
      this.stage.view.redraw();
      if (this.isStale) this.draw();
    });
    for (const [name, title, key] of SHOWN) studio.key(key, `show: ${title.toLowerCase()}`, () => this.stage.look(name));
    studio.key("n", "the next style", () => this.next(1));
    studio.key("p", "the style before", () => this.next(-1));
    studio.key("m", "mix styles", () => this.mixes(!this.isMixing));
    studio.key("k", "picture and sketch beside each other", () => this.stage.look(this.stage.shows === "both" ? "sketch" : "both"));
    studio.key("[", "smaller lens", () => this.stage.resize(+this.stage.lens.value / 1.2));
    studio.key("]", "larger lens", () => this.stage.resize(+this.stage.lens.value * 1.2));
    studio.key("l", "choose a drawing to learn from", () => this.teaching.choose());
    studio.key("s", "save the picture", () => { if (this.drawn) this.export("png"); else this.say("Pick a style first"); });
    studio.python(() => this.text);
  }

  say(sentence, isWrong = false) { this.studio.say(sentence, isWrong); }

  isBusy(name) { return this.jobs.has(name); }

  /** What is asked of the server for the style that is picked; null where nothing can be drawn. */
  asked() { return asked(this.choice, this.styles); }

  saves() {
    const { choice, teaching, batch, stage } = this;
    this.studio.save({ choice, ...teaching.kept, ...batch.kept, shows: stage.shows, lens: stage.size });
  }

  // the style

  change(label, choice, kind = null, pause = 0) {
    const before = this.choice, set = (now) => { this.choice = now; this.isMixing = now.styles.length > 1; this.#settle(); };
    this.choice = choice;
    this.#settle(pause);
    this.studio.undo.did(label, () => set(before), () => set(choice), kind);
  }

  #settle(pause = 0) {
    this.saves();
    this.text = "";
    if (this.stage.shows === "picture" && this.asked()) this.stage.look("sketch");
    this.stage.renew();
    this.show();
    clearTimeout(this.pausing);
    if (pause) this.pausing = setTimeout(() => this.draw(), pause); else this.draw();
  }

  /** Go to a choice that is one style, and see it drawn. */
  async goTo(choice) {
    this.isMixing = false;
    if (choice.styles.join() !== this.choice.styles.join()) this.change("the style", choice);
    else { this.stage.renew(); await this.draw(true); }
    this.parts[0].root.scrollIntoView({ block: "start" });
  }

  pick(id, adds = false) {
    const style = this.styles.find((one) => one.id === id), mixes = this.isMixing || adds;
    const reason = hindrance(style);
    if (reason && (mixes || !style.fits)) { this.say(`${style.title}: ${reason}`, true); return; }
    if (adds && this.choice.styles.length) this.isMixing = true;
    const next = mixes && this.choice.styles.length ? joined(this.choice, id) : picked(this.choice, id);
    if (next.styles.join() !== this.choice.styles.join()) this.change(mixes ? "the mix" : "the style", next);
    else this.draw();
  }

  next(by) {
    const able = this.styles.filter((style) => !hindrance(style));
    if (!able.length) return;
    const at = able.findIndex((style) => style.id === this.choice.styles[0]);
    const style = able[at < 0 ? 0 : (at + by + able.length) % able.length];
    this.isMixing = false;
    this.pick(style.id);
    this.say(style.title);
  }

  mixes(on) {
    this.isMixing = on;
    const { styles, shares } = this.choice;
    if (!on && styles.length > 1) this.change("no mix", picked(this.choice, styles[shares.indexOf(Math.max(...shares))]));
    else this.show();
  }

  share(place, share, isSliding) {
    const next = shared(this.choice, place, share);
    if (isSliding) {
      this.sliding ??= this.choice;
      this.choice = next;
      this.stage.renew();
      this.show();
      return;
    }
    const before = this.sliding ?? this.choice;
    this.sliding = null;
    this.choice = before;
    this.change("the shares", shared(before, place, share), "shares", SHARES_MS);
  }

  byStudent(on) { this.change(on ? "drawn by the student" : "drawn by the style", { ...this.choice, student: on }); }

  async rename(title) {
    const [style] = this.choice.styles;
    if (title) this.takeStyles((await this.studio.act("rename", { style, title })).styles);
    this.show();
  }

  async remove() {
    const before = this.choice, [style] = before.styles;
    this.choice = { ...NONE, student: before.student }; // nothing is asked of it any more
    try {
      this.takeStyles((await this.studio.act("remove", { style })).styles);
    } catch (error) {
      this.choice = before;
      throw error;
    }
    this.studio.undo.clear();
    this.saves();
    this.text = "";
    this.say("The style is removed");
    this.stage.renew();
    this.show();
  }

  // drawing

  /** Draw what is picked, unless that is what is seen, or is under way. */
  async draw(anew = false) {
    const values = this.asked(), { picture } = this;
    this.isStale = this.isHidden;
    if (!values || !picture || this.isHidden || this.studio.model.status !== "ready") { this.show(); return; }
    if (same(values, this.drawn) && !this.isBusy("draw") && !anew) { this.#python(); return; }
    if (this.wanted && same(values, this.wanted.values) && this.wanted.picture === picture.id && !anew) return;
    const before = this.wanted, mine = this.wanted = { values, picture: picture.id, id: null };
    this.trouble = "";
    this.show();
    if (before?.id) this.studio.stop(before.id).catch(() => { /* it has ended meanwhile */ });
    try { mine.id = await this.studio.job("draw", values); } catch (error) {
      if (this.wanted === mine) Object.assign(this, { wanted: null, trouble: error.message });
      this.show();
      return;
    }
    const ended = this.studio.jobs.find((job) => job.id === mine.id && !ACTIVE.includes(job.status));
    if (this.wanted !== mine) this.studio.stop(mine.id).catch(() => { /* it has ended meanwhile */ });
    else if (ended) await this.#drew(ended); // before its number was known here
  }

  async #drew(job) {
    if (this.wanted && this.wanted.id !== job.id) return;
    this.wanted = null;
    this.trouble = job.status === "failed" ? job.line : job.status === "stopped" ? "Stopped." : "";
    if (job.status === "done") await this.tell();
    this.show();
  }

  async #python() {
    const values = this.asked(), { picture } = this;
    if (!values || !same(values, this.drawn)) { this.text = ""; return; }
    let text = "";
    try { ({ text } = await this.studio.act("python", values)); } catch { /* a style that was just removed */ }
    if (this.picture === picture && same(values, this.asked())) this.text = text;
  }

  // the picture, and what the server knows

  async #newPicture() {
    const { studio } = this, { picture } = studio;
    if (picture?.id === this.picture?.id) return;
    if (this.picture) studio.undo.clear();
    Object.assign(this, { picture, drawn: null, trouble: "", text: "" });
    this.teaching.forget();
    if (!picture) return;
    const image = await studio.image(picture.id);
    if (picture.id !== this.picture?.id) return;
    this.stage.setPicture(image, picture);
    this.show();
    if (studio.model.status !== "ready") return;
    await this.tell();
    await this.draw();
  }

  /** Wait until an uploaded picture is the one on the desk, and known here. */
  async arrives({ id }) {
    const { studio } = this;
    if (studio.picture?.id !== id) {
      await new Promise((done) => {
        const end = studio.on("picture", () => { if (studio.picture?.id === id) { end(); done(); } });
      });
    }
    await this.arriving;
  }

  /** Ask what the server knows; one question after another, so that no old answer comes last. */
  tell() {
    this.telling = (this.telling ?? Promise.resolve()).then(() => this.#tellOnce());
    return this.telling;
  }

  async #tellOnce() {
    const { picture } = this, { round } = this.teaching;
    try {
      const told = await this.studio.act("told");
      if (picture?.id === this.picture?.id) await this.#take(told, round);
    } catch (error) { this.trouble = error.message; this.show(); }
  }

  async #take(told, round) {
    const { picture } = this;
    this.told = told;
    this.teaching.know(told.pair, round);
    this.batch.know(told.batch);
    this.takeStyles(told.styles);
    const sketch = told.drawn ? await this.studio.image(told.drawn.picture) : null;
    if (picture?.id !== this.picture?.id) return;
    this.drawn = told.drawn;
    this.stage.setSketch(sketch, this.stage.live);
    this.show();
    await this.#python();
  }

  takeStyles(styles) {
    this.styles = styles;
    const choice = known(this.choice, styles);
    if (choice !== this.choice) { this.choice = choice; this.isMixing = choice.styles.length > 1; this.saves(); }
  }

  async export(what) {
    const { address, name } = await this.studio.act("export", { what });
    this.studio.download(address, name);
    this.say(`Saved as ${name}`);
  }

  async stop(name) {
    const job = this.jobs.get(name);
    if (!job) return;
    this.isStopping = true;
    this.show();
    await this.studio.stop(job.id);
  }

  // hearing

  async #hearJob(job) {
    if (ACTIVE.includes(job.status)) {
      const begins = !this.jobs.has(job.name);
      this.jobs.set(job.name, job);
      if (begins && job.name === "learn" && !["sketch", "both"].includes(this.stage.shows)) this.stage.look("sketch");
      this.show();
      if (begins && job.name !== "draw") this.parts[job.name === "batch" ? 5 : 2].root.scrollIntoView({ block: "nearest" });
      return;
    }
    if (this.jobs.get(job.name)?.id !== job.id) return;
    this.jobs.delete(job.name);
    if (job.name !== "draw") this.isStopping = false;
    this.show();
    if (job.name === "draw") await this.#drew(job);
    else await (job.name === "batch" ? this.batch : this.teaching).ended(job);
    this.show();
  }

  async #hearTold(id, values) {
    const name = [...this.jobs].find(([, job]) => job.id === id)?.[0];
    if (name === "batch") this.batch.hear(values);
    else if (name === "learn" || name === "distil") await this.teaching.hear(name, values);
    this.show();
  }

  show() {
    for (const part of this.parts) part.show();
    this.stage.show();
    const { canUndo, canRedo } = this.studio.undo;
    [["Undo", canUndo], ["Redo", canRedo]].forEach(([does, label], i) => {
      this.steps[i].disabled = !label;
      this.steps[i].title = label ? `${does}: ${label}` : does;
    });
    this.#showState();
  }

  #showState() {
    const { model } = this.studio, values = this.asked(), job = this.jobs.get("draw"), isSeen = same(values, this.drawn);
    const [sentence, isWrong] = this.#state(model, values, job, isSeen);
    if (this.said.textContent !== sentence) this.said.textContent = sentence;
    this.said.classList.toggle("wrong", isWrong);
    this.bar.classList.toggle("idle", !job && !this.wanted);
    if (job?.of) this.bar.value = job.done / job.of; else this.bar.removeAttribute("value");
    this.again.hidden = !values || isSeen || Boolean(job) || Boolean(this.wanted) || model.status !== "ready";
    const live = this.stage.live && this.teaching.live.points.at(-1);
    const still = this.drawn && !isSeen && (job ? "Drawing …" : `Still ${inWords(this.drawn, this.styles)}`);
    this.stage.view.caption(live ? `Learning: ${live.iteration} of ${live.of}` : still || "");
  }

  #state(model, values, job, isSeen) {
    if (model.status === "failed") return [model.error, true];
    if (model.status !== "ready") return ["Waits for the model …", false];
    if (job) return [job.status === "waiting" ? standing(job) : "Drawing …", false];
    if (this.wanted) return ["Drawing …", false];
    if (this.trouble) return [this.trouble, this.trouble !== "Stopped."];
    if (values && isSeen) return [`Drawn: ${inWords(this.drawn, this.styles)}${this.drawn.student ? ", by its student" : ""}.`, false];
    const [id] = this.choice.styles, style = this.styles.find((one) => one.id === id);
    if (!values && style) return [`${style.title}: ${hindrance(style)}.`, false];
    return [this.told && !values ? "Pick a style; the picture is drawn in it at once." : "", false];
  }
}
