// numbers on a picture: a colour for each cell, laid over the picture, and its scale

// inferno, after Smith and van der Walt, as polynomials of degree six in each channel
const INFERNO = [
  [0.0002, 0.1066, 11.6025, -41.704, 77.1629, -71.3194, 25.1311],
  [0.0017, 0.5640, -3.9729, 17.4364, -33.4024, 32.6261, -12.2427],
  [-0.0195, 3.9327, -15.9424, 44.3541, -81.8073, 73.2095, -23.0703],
];

export function inferno(share) {
  return INFERNO.map((factors) => {
    const value = factors.reduceRight((sum, factor) => sum * share + factor, 0);
    return Math.round(255 * Math.min(Math.max(value, 0), 1));
  });
}
const TABLE = Array.from({ length: 256 }, (_, i) => inferno(i / 255));

/** Lowest and highest of some arrays of numbers. */
export function range(...arrays) {
  let low = Infinity, high = -Infinity;
  for (const array of arrays) for (const value of array) { low = Math.min(low, value); high = Math.max(high, value); }
  return [low, high];
}

/** A canvas with a pixel for each cell of `numbers`, coloured from `low` to `high`. */
export function heatCanvas(numbers, { rows, columns }, [low, high]) {
  const canvas = new OffscreenCanvas(columns, rows), context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  const span = Math.max(high - low, 1e-9);
  numbers.forEach((value, i) => {
    const [r, g, b] = TABLE[Math.round(255 * Math.min(Math.max((value - low) / span, 0), 1))];
    image.data.set([r, g, b, 255], 4 * i);
  });
  context.putImageData(image, 0, 0);
  return canvas;
}

/** A layer for a view: cells over the picture, clipped to it. */
export function overlay(cells, { rows, columns, cell_px: cell }, strength, smooth = true) {
  return (context, view) => {
    context.beginPath();
    const [left, top] = [Math.floor(view.left), Math.floor(view.top)]; // whole pixels: no bright rim is left
    context.rect(left, top, Math.ceil(view.left + view.width * view.scale) - left, Math.ceil(view.top + view.height * view.scale) - top);
    context.clip();
    context.globalAlpha = strength;
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    const [width, height] = [columns * cell * view.scale, rows * cell * view.scale];
    context.drawImage(cells, view.left - 0.5, view.top - 0.5, width + 1, height + 1); // no soft rim at the edge
  };
}

/** The scale of colours with its ends, for the panel. */
export function legend(h) {
  const stops = Array.from({ length: 9 }, (_, i) => `rgb(${inferno(i / 8).join(" ")}) ${12.5 * i}%`);
  const low = h("span", { class: "number" }), high = h("span", { class: "number" });
  const bar = h("div", { "aria-hidden": "true", style: `height:8px;border-radius:4px;background:linear-gradient(90deg, ${stops.join(", ")})` });
  const root = h("div", { class: "field", hidden: true }, bar, h("span", { class: "row spread faint small-text" }, low, high));
  return { root, show([from, to]) {
    root.hidden = false;
    const digits = to - from < 0.1 ? 4 : 2;
    low.textContent = from.toFixed(digits);
    high.textContent = to.toFixed(digits);
  }, hide() { root.hidden = true; } };
}
