// what a style is learnt from, and how far it is
import { goesOn, picked } from "./choice.js";

const WANTS = { title: "", prompt: "", amount: "quick", ink: "lines", fit: true };
const TITLE = "My style", EXAMPLE = "My brush", LETTERS = 100;

export class Teaching {
  constructor(tab, saved) {
    Object.assign(this, { tab, round: 0, wants: { ...WANTS, ...saved.wants }, pair: null, drawing: null, refused: "", live: fresh(), learntOn: saved.learntOn ?? null });
  }

  /** What is there after a reload; the pair itself the server keeps. */
  get kept() { return { wants: this.wants, learntOn: this.learntOn }; }

  forget() {
    this.round += 1;
    Object.assign(this, { pair: null, drawing: null, refused: "" });
  }

  /** What the server said of the pair when it was asked in this round; since then it may be another. */
  know(pair, round) { if (round === this.round) this.pair = pair; }

  learns(values) {
    Object.assign(this.wants, values);
    this.tab.saves();
    this.tab.show();
  }

  /** The drawing is read in another way: with other ink, fitted or not. */
  async reads(values) {
    this.learns(values);
    if (this.drawing) await this.take(this.drawing);
    else if (this.pair) this.tab.say("Drop the drawing again to have it read like this");
  }

  async choose() {
    const file = await this.tab.studio.chooseFile();
    if (file) await this.take(file);
  }

  async take(file) {
    const { fit, ink } = this.wants, { tab } = this, name = (file.name || "drawing").slice(0, LETTERS);
    this.drawing = file;
    const round = this.round += 1;
    tab.say(`Reading ${name} …`);
    try {
      const { pair } = await tab.studio.act("check", { name, fit: fit && ink === "lines", ink }, { drawing: file });
      if (round !== this.round) return;
      this.pair = pair;
      this.refused = "";
      tab.say("The drawing is read; see below how it lies on its picture");
    } catch (error) {
      if (round !== this.round) return;
      this.refused = error.message;
      tab.say("");
    }
    tab.show();
  }

  async unpair() {
    await this.tab.studio.act("unpair");
    this.forget();
    this.tab.show();
  }

  /** Put a bundled picture on the desk, with its drawing beside it. */
  async example() {
    const { studio } = this.tab, { parts, prompt } = await studio.act("scene", { style: "brush" });
    await this.tab.arrives(await studio.upload(new File([parts.picture], "face.png", { type: "image/png" })));
    Object.assign(this.wants, { title: EXAMPLE, prompt, ink: "lines" });
    await this.take(new File([parts.drawing], "drawing.png", { type: "image/png" }));
    this.tab.saves();
  }

  async learn() {
    const { title, prompt, amount } = this.wants;
    const values = { pair: this.pair.key, title: title.trim() || TITLE, prompt, seed: 0 };
    await this.#begin("learn", amount === "quick" ? { ...values, iterations: this.tab.told.amounts.quick } : values, this.pair.of);
  }

  async goOn() {
    const [style] = this.tab.choice.styles;
    await this.#begin("learn", { style }, this.tab.styles.find((one) => one.id === style).picture);
  }

  async distil() { await this.#begin("distil", { style: this.tab.choice.styles[0] }); }

  async #begin(name, values, picture) {
    this.live = fresh();
    this.learntOn = picture ?? this.tab.picture.id;
    this.tab.saves();
    await this.tab.studio.job(name, values);
  }

  async hear(name, values) {
    const { live, tab } = this;
    if (values.picture) live.pictures = { ...live.pictures, [values.name]: values.picture };
    if (Number.isFinite(values.loss)) live.points.push(values);
    if (name !== "learn" || values.name !== "try" || this.learntOn !== tab.picture?.id) return;
    let image = null;
    try { image = await tab.studio.image(values.picture); } catch { return; } // a later one took its place
    if (tab.isBusy("learn") && this.learntOn === tab.picture?.id) tab.stage.setSketch(tab.stage.sketch, image);
  }

  /** A job of learning has ended: what came of it is picked, to be drawn or gone on with. */
  async ended(job) {
    const { tab } = this;
    this.live = fresh();
    tab.stage.setSketch(tab.stage.sketch);
    await tab.tell();
    if (job.status === "failed") tab.say(job.line, true);
    const id = job.result?.style ?? (job.name === "learn" ? this.#stopped() : null);
    if (tab.styles.some((one) => one.id === id)) await tab.goTo(picked(tab.choice, id));
  }

  /** The style whose learning was stopped just now: the one that is picked, else the latest. */
  #stopped() {
    const own = this.tab.styles.filter(goesOn), [picked] = this.tab.choice.styles;
    return (own.find((one) => one.id === picked) ?? own.at(-1))?.id;
  }
}

function fresh() { return { pictures: {}, points: [] }; }
