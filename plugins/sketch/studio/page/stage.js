// the picture with its sketch over it: which of both is seen where, and the lens that draws under the pointer

export const SHOWN = [["picture", "Picture", "1"], ["lens", "Lens", "2"], ["both", "Both", "3"], ["sketch", "Sketch", "4"]];
const LENS = [32, 640], MARGIN = 1.5, SMALLEST = 64, LARGEST = 1024; // px of the picture; what is asked beyond the lens, so that it can move at once
const LENS_SHARE = 0.3; // of the picture's shorter side, before anybody chose

export class Stage {
  /** `tab` has studio, asked() and say(). */
  constructor(container, tab, saved = {}) {
    const { studio } = tab, { h, segments } = studio.dom;
    Object.assign(this, { tab, studio, sketch: null, live: null, at: null, window: null, shows: saved.shows ?? "sketch", size: saved.lens ?? null });
    this.view = studio.view(container, { label: "Picture and its sketch. Under the lens, arrows move it" });
    this.segments = segments({ label: "What is shown", options: SHOWN.map(([name, title]) => [name, title]), value: this.shows, onchange: (value) => this.look(value) });
    this.segments.root.classList.add("sketch-shown");
    this.divide = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Picture to the left, sketch to the right", oninput: () => this.view.redraw() });
    this.lens = h("input", { type: "range", min: LENS[0], max: LENS[1], step: 8, "aria-label": "Size of the lens",
      oninput: () => this.resize(+this.lens.value) });
    this.sized = h("output", { class: "number" });
    this.speed = h("span", { class: "faint number sketch-speed" });
    this.dividing = h("div", { class: "sketch-slider" }, h("span", {}, "Picture"), this.divide, h("span", {}, "Sketch"));
    this.sizing = h("div", { class: "sketch-slider" }, h("span", {}, "Lens"), this.lens, this.sized, this.speed);
    container.append(this.segments.root, this.dividing, this.sizing);
    this.ask = studio.latest("lens");
    this.view.layer("sketch", (context, view) => this.#draw(context, view));
    for (const kind of ["hover", "down", "move"]) this.view.on(kind, (at) => this.#point(at, kind !== "hover"));
    this.view.on("cursor", (at) => this.#point({ ...at, inside: true }, true));
  }

  /** Show the picture on the desk, without a sketch. */
  setPicture(image, picture) {
    Object.assign(this, { sketch: null, live: null, window: null, at: { x: picture.width / 2, y: picture.height / 2 } });
    this.lens.max = Math.max(LENS[0], Math.min(LENS[1], picture.width, picture.height));
    this.view.setPicture(image, picture.width, picture.height);
    this.resize(this.size ?? LENS_SHARE * Math.min(picture.width, picture.height), this.size !== null);
  }

  /** The sketch as it is known now, or as it is being learnt. */
  setSketch(sketch, live = null) {
    Object.assign(this, { sketch, live });
    this.show();
  }

  look(what) {
    this.shows = what;
    this.tab.saves();
    this.renew();
  }

  /** The style is another one: what the lens drew is of the last. */
  renew() {
    this.window = null;
    this.show();
    if (this.shows === "lens") this.#want();
  }

  resize(px, isChosen = true) {
    const size = Math.min(Math.max(Math.round(px / 8) * 8, LENS[0]), +this.lens.max);
    this.lens.value = size;
    this.sized.value = `${size} px`;
    if (isChosen) { this.size = size; this.tab.saves(); }
    if (this.shows === "lens") this.#want();
    this.view.redraw();
  }

  show() {
    const can = Boolean(this.tab.asked()), any = can || Boolean(this.live ?? this.sketch);
    this.segments.root.hidden = !any;
    this.segments.value = this.shows;
    const lens = this.segments.root.children[1];
    lens.disabled = !can;
    lens.title = can ? "" : "The lens draws in a style that is learnt";
    this.dividing.hidden = !any || this.shows !== "both";
    this.sizing.hidden = !can || this.shows !== "lens";
    this.view.root.dataset.shows = any ? this.shows : "picture";
    this.view.redraw();
  }

  #point(at, isHeld) {
    if (!this.view.width) return;
    if (this.shows === "both" && isHeld && at.inside) {
      this.divide.value = (100 * at.x) / this.view.width;
      this.view.redraw();
    } else if (this.shows === "lens" && at.inside) {
      this.at = { x: at.x, y: at.y };
      this.#want();
      this.view.redraw();
    }
  }

  async #want() {
    const values = this.tab.asked(), { picture } = this.studio;
    if (!values || !picture || this.studio.model.status !== "ready") return;
    const side = Math.min(Math.max(Math.round(MARGIN * +this.lens.value), SMALLEST), LARGEST);
    try {
      const { styles, shares } = values, { x, y } = this.at;
      const answer = await this.ask({ styles, shares, x, y, side, fast: true });
      if (!answer) return;
      const bitmap = await createImageBitmap(new Blob([answer.parts.picture], { type: "image/png" }));
      if (picture.id !== this.studio.picture?.id || styles.join() !== this.tab.asked()?.styles.join()) return;
      this.window = { bitmap, box: answer.box };
      this.speed.textContent = `${answer.by === "student" ? "student" : "style"}, ${Math.round(answer.ms)} ms`;
      this.view.redraw();
    } catch (error) { this.tab.say(error.message, true); }
  }

  #draw(context, view) {
    const sketch = this.live ?? this.sketch, across = view.width * view.scale, tall = view.height * view.scale;
    const whole = () => { if (sketch) context.drawImage(sketch, view.left - 0.5, view.top - 0.5, across + 1, tall + 1); }; // no rim of the picture
    context.imageSmoothingEnabled = view.scale < 4;
    context.imageSmoothingQuality = "high";
    if (this.shows === "sketch") whole();
    else if (this.shows === "both" && sketch) this.#drawBoth(context, view, across, tall, whole);
    else if (this.shows === "lens" && (this.tab.asked() || this.live)) this.#drawLens(context, view, whole);
  }

  #drawBoth(context, view, across, tall, whole) {
    const at = view.left + (across * this.divide.value) / 100;
    context.save();
    context.beginPath();
    context.rect(at, view.top - 1, view.left + across - at + 1, tall + 2);
    context.clip();
    whole();
    context.restore();
    for (const [width, colour] of [[4, "#0006"], [2, "#fff"]]) {
      context.fillStyle = colour;
      context.fillRect(at - width / 2, view.top, width, tall);
    }
  }

  #drawLens(context, view, whole) {
    const [x, y] = view.toScreen(this.at.x, this.at.y), radius = (+this.lens.value / 2) * view.scale;
    context.save();
    context.beginPath();
    context.rect(view.left, view.top, view.width * view.scale, view.height * view.scale);
    context.clip();
    context.beginPath();
    context.arc(x, y, radius, 0, 2 * Math.PI);
    context.clip();
    whole();
    if (this.window) {
      const [left, top, width, height] = this.window.box;
      context.drawImage(this.window.bitmap, ...view.toScreen(left, top), width * view.scale, height * view.scale);
    }
    context.restore();
    for (const [width, colour] of [[4, "#0007"], [2, "#fff"]]) {
      context.lineWidth = width;
      context.strokeStyle = colour;
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.stroke();
    }
  }
}
