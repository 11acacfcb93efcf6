// the warp preview: laid here at each frame, with fields that the server corrects as fast as it can
import { answered, predicted } from "./fields.js";
import { Canvas2d } from "./canvas2d.js";
import { WebGl } from "./webgl.js";

const FRAMES = 4000; // whose times are remembered
const TRIES = 4; // draws by which the faster way is found
const REST_MS = 160; // without a change, after which the exact picture is asked for

export class Preview {
  /** `changed` is called when there is something new to draw, `told` with what is to be said of it. */
  constructor(studio, changed, told) {
    Object.assign(this, { studio, changed, told });
    try { this.renderer = new WebGl(); } catch { this.renderer = new Canvas2d(); }
    this.follow = studio.latest("follow");
    this.exactly = studio.latest("exact");
    this.frames = []; // ms that each frame took here, for measuring
    this.forget();
  }

  /** Begin anew, as for another picture. */
  forget() {
    clearTimeout(this.resting);
    this.cut = this.known = this.now = this.exact = null;
    this.round = (this.round ?? 0) + 1;
    this.isShown = false;
  }

  /** Show no preview. */
  clear() {
    clearTimeout(this.resting);
    this.now = this.exact = null;
    this.isShown = false;
    this.changed();
  }

  /** Follow what is asked for, as `document.asked` gives it. `rests` says that nothing is being pulled. */
  want(asked, picture, rests = true) {
    this.now = asked;
    this.picture = picture;
    this.exact = null;
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.#rest(asked), rests ? REST_MS : 3 * REST_MS);
    this.#frame();
    this.#ask(asked);
  }

  /** Draw over a view, in CSS px: what was asked since the last frame is laid now, and seen in this one. */
  draw(context, view) {
    const began = performance.now(), isNew = this.isNew;
    if (isNew) this.#lay();
    const image = this.exact ?? (this.isShown ? this.renderer.canvas : null);
    if (!image) return;
    context.imageSmoothingEnabled = view.scale < 4 || !this.exact;
    context.imageSmoothingQuality = this.exact ? "high" : "low"; // low is bilinear, which is fast
    context.drawImage(image, view.left, view.top, view.width * view.scale, view.height * view.scale);
    if (isNew && this.isShown) {
      this.frames.push(performance.now() - began);
      if (this.frames.length > FRAMES) this.frames.shift();
    }
  }

  #frame() {
    this.isNew = true;
    this.changed();
  }

  #lay() {
    this.isNew = false;
    this.isShown = Boolean(this.now && this.cut && fits(this.cut.asked, this.now));
    if (!this.isShown) return;
    const exactly = this.known?.asked === this.now && this.known.cut === this.cut.cut;
    this.renderer.draw(exactly ? this.known.fields : predicted(this.known, this.now, this.picture));
  }

  async #ask(asked) {
    const { round } = this;
    try {
      if (!this.cut) this.told("waits");
      const answer = await this.follow({ ...asked, have: this.cut?.cut ?? 0 });
      if (!answer || round !== this.round) return;
      if (answer.parts.plate) this.#take(answer, asked);
      else if (this.cut) this.cut.asked = asked;
      if (answer.cut !== this.cut?.cut) return;
      this.known = { asked, cut: answer.cut, kinds: answer.kinds, fields: answered(answer) };
      this.told("shown", answer);
      this.#frame();
    } catch (error) {
      if (round !== this.round || asked !== this.now) return;
      this.isShown = false;
      this.told("refused", error);
      this.changed();
    }
  }

  #take(answer, asked) {
    const { width, height, parts, sharper } = answer, size = width * height;
    const alphas = Array.from({ length: parts.alphas.byteLength / size }, (_, i) => new Uint8Array(parts.alphas, i * size, size));
    const cut = { width, height, sharper, alphas, texture: new Uint8Array(parts.texture), plate: new Uint8Array(parts.plate) };
    if (this.renderer.isLost) this.renderer = new Canvas2d();
    this.renderer.cut(cut);
    if (!this.isChosen) this.#choose(cut);
    this.cut = { cut: answer.cut, asked };
    this.known = null;
  }

  /** Keep WebGL where it is the faster one: drawn by the processor and read back, it is not. */
  #choose(cut) {
    this.isChosen = true;
    if (this.renderer instanceof Canvas2d) return;
    const other = new Canvas2d(), still = cut.alphas.map(() => ({ rows: 1, columns: 1, data: new Float32Array([0.01, 0.01]) }));
    other.cut(cut);
    const page = Object.assign(document.createElement("canvas"), { width: cut.width, height: cut.height }).getContext("2d");
    const spent = (renderer) => { // the quickest of some draws, seen as a page sees them
      const times = Array.from({ length: TRIES }, () => {
        const began = performance.now();
        renderer.draw(still);
        page.drawImage(renderer.canvas, 0, 0);
        page.getImageData(0, 0, 1, 1);
        return performance.now() - began;
      });
      return Math.min(...times);
    };
    if (spent(other) < spent(this.renderer)) this.renderer = other;
  }

  async #rest(asked) {
    const { round } = this;
    try {
      const answer = await this.exactly(asked);
      if (!answer || asked !== this.now || round !== this.round) return;
      const image = await this.studio.image(answer.picture);
      if (asked !== this.now || round !== this.round) return;
      this.exact = image;
      this.changed();
    } catch { /* what was refused is told where the fields are asked for */ }
  }
}

/** Whether the layers that were cut out for one thing asked are those of another: only targets and moves differ. */
function fits(one, other) {
  const fixed = (asked) => JSON.stringify([asked.mode, asked.mask, asked.pins, asked.points.map(([x, y]) => [x, y]), asked.regions.map(({ mask }) => mask)]);
  return fixed(one) === fixed(other);
}
