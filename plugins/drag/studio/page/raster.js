// a mask that is brushed: strokes and lassos on a small canvas, kept as runs of pixels that are out, in, out, in, ...

/** Begin a raster with what a mask holds, or nothing. */
export class Raster {
  constructor({ width, height }, mask = null) {
    this.width = width;
    this.height = height;
    this.canvas = Object.assign(document.createElement("canvas"), { width, height });
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    if (mask) this.#load(mask);
  }

  /** Brush from a place to a place; all in pixels of the raster. */
  stroke([x, y], [u, v], radius, erases = false) {
    this.#with(erases, (context) => {
      context.lineWidth = 2 * radius;
      context.lineCap = context.lineJoin = "round";
      context.beginPath();
      context.moveTo(x, y);
      context.lineTo(u + (x === u && y === v ? 0.01 : 0), v);
      context.stroke();
    });
  }

  /** Fill what a line encloses. */
  lasso(path, erases = false) {
    this.#with(erases, (context) => {
      context.beginPath();
      path.forEach(([x, y], i) => (i ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.fill();
    });
  }

  invert() {
    this.context.globalCompositeOperation = "xor";
    this.context.fillRect(0, 0, this.width, this.height);
    this.context.globalCompositeOperation = "source-over";
  }

  /** What it holds, {width, height, runs}; null where that is nothing. */
  get mask() {
    const pixels = new Uint32Array(this.context.getImageData(0, 0, this.width, this.height).data.buffer);
    const runs = [];
    let inside = false, began = 0;
    for (let i = 0; i < pixels.length; i += 1) {
      if ((pixels[i] >>> 31 === 1) !== inside) { runs.push(i - began); began = i; inside = !inside; }
    }
    if (!inside && !runs.length) return null;
    runs.push(pixels.length - began);
    return { width: this.width, height: this.height, runs };
  }

  #load({ runs, width, height }) {
    if (width !== this.width || height !== this.height) return;
    const image = this.context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    let at = 0;
    runs.forEach((run, i) => { if (i % 2) pixels.fill(0xff000000, at, at + run); at += run; });
    this.context.putImageData(image, 0, 0);
  }

  #with(erases, draw) {
    this.context.globalCompositeOperation = erases ? "destination-out" : "source-over";
    draw(this.context);
    this.context.globalCompositeOperation = "source-over";
  }
}

/** Share of its picture that a mask holds. */
export function share(mask) {
  const inside = mask.runs.reduce((sum, run, i) => sum + (i % 2 ? run : 0), 0);
  return inside / (mask.width * mask.height);
}

/** Whether a mask holds a place, which is given in shares of the picture. */
export function holds(mask, x, y) {
  if (x < 0 || y < 0 || x >= 1 || y >= 1) return false;
  let left = Math.floor(y * mask.height) * mask.width + Math.floor(x * mask.width);
  for (let i = 0; i < mask.runs.length; i += 1) {
    left -= mask.runs[i];
    if (left < 0) return i % 2 === 1;
  }
  return false;
}

const tints = new WeakMap();

/** A mask as a canvas in one colour, with a line around it. */
export function tinted(mask, colour) {
  const known = tints.get(mask);
  if (known?.colour === colour) return known.canvas;
  const { canvas, context, width, height } = new Raster(mask, mask);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = colour;
  context.fillRect(0, 0, width, height);
  tints.set(mask, { canvas, colour });
  return canvas;
}

const outlines = new WeakMap();

/** The line around a mask as a canvas in one colour. */
export function outlined(mask, colour) {
  const known = outlines.get(mask);
  if (known?.colour === colour) return known.canvas;
  const inside = tinted(mask, colour), { width, height } = mask;
  const canvas = Object.assign(document.createElement("canvas"), { width, height }), context = canvas.getContext("2d");
  const wide = Math.max(1, Math.max(width, height) / 400);
  for (let k = 0; k < 8; k += 1) context.drawImage(inside, wide * Math.cos((k * Math.PI) / 4), wide * Math.sin((k * Math.PI) / 4));
  context.globalCompositeOperation = "destination-out";
  context.drawImage(inside, 0, 0);
  outlines.set(mask, { canvas, colour });
  return canvas;
}
