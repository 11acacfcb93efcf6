// lays the layers of a preview without WebGL: the same, pixel by pixel, in the part where a layer can be

export class Canvas2d {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d");
  }

  get name() { return "2D canvas"; }

  /** Take a cut: {width, height, texture, plate, alphas: [bytes], sharper}. */
  cut(cut) {
    const { width, height } = cut;
    Object.assign(this.canvas, { width, height });
    this.image = this.context.createImageData(width, height);
    Object.assign(this, { texture: cut.texture, plate: cut.plate, alphas: cut.alphas, sharper: cut.sharper, width, height });
    this.boxes = cut.alphas.map((alpha) => boxOf(alpha, width, height));
  }

  draw(fields) {
    this.image.data.set(this.plate);
    for (let i = 0; i < Math.min(this.alphas.length, fields.length); i += 1) if (this.boxes[i]) this.#layer(this.alphas[i], this.boxes[i], fields[i]);
    this.context.putImageData(this.image, 0, 0);
  }

  #layer(alpha, box, { rows, columns, data }) {
    const { width, height, texture, sharper } = this, out = this.image.data;
    const [top, left, bottom, right] = reached(box, { rows, columns, data }, width, height);
    const along = new Float32Array(right - left), cell = new Int32Array(right - left);
    for (let x = left; x < right; x += 1) { // places between units along a row, the same in each
      const at = Math.min(Math.max(((x + 0.5) / width) * columns - 0.5, 0), columns - 1);
      cell[x - left] = Math.min(Math.floor(at), Math.max(columns - 2, 0));
      along[x - left] = at - cell[x - left];
    }
    const next = columns > 1 ? 2 : 0;
    for (let y = top; y < bottom; y += 1) {
      const at = Math.min(Math.max(((y + 0.5) / height) * rows - 0.5, 0), rows - 1);
      const row = Math.min(Math.floor(at), Math.max(rows - 2, 0)), down = at - row;
      const here = row * columns * 2, below = rows > 1 ? here + columns * 2 : here;
      for (let x = left; x < right; x += 1) {
        const k = cell[x - left] * 2, t = along[x - left];
        const a = here + k, b = below + k;
        const dx = (data[a] * (1 - t) + data[a + next] * t) * (1 - down) + (data[b] * (1 - t) + data[b + next] * t) * down;
        const u = x + dx * width;
        if (u < box.left - 1 || u > box.right) continue;
        const dy = (data[a + 1] * (1 - t) + data[a + next + 1] * t) * (1 - down) + (data[b + 1] * (1 - t) + data[b + next + 1] * t) * down;
        const v = y + dy * height;
        if (v < box.top - 1 || v > box.bottom) continue;
        const fx = u <= 0 ? 0 : u >= width - 1 ? width - 1 : u, fy = v <= 0 ? 0 : v >= height - 1 ? height - 1 : v;
        const x0 = fx | 0, y0 = fy | 0, p = fx - x0, q = fy - y0;
        const i = y0 * width + x0, j = x0 + 1 < width ? i + 1 : i, below2 = y0 + 1 < height ? width : 0;
        const w00 = (1 - p) * (1 - q), w01 = p * (1 - q), w10 = (1 - p) * q, w11 = p * q;
        let shown = (alpha[i] * w00 + alpha[j] * w01 + alpha[i + below2] * w10 + alpha[j + below2] * w11) / 255;
        const o = (y * width + x) * 4;
        shown = (shown * (texture[o + 3] / 255) - 0.5) * sharper + 0.5;
        if (shown <= 0) continue;
        if (shown > 1) shown = 1;
        const i4 = i * 4, j4 = j * 4, k4 = i4 + below2 * 4, l4 = j4 + below2 * 4;
        const under = out[o + 3] / 255, keep = under * (1 - shown), sum = shown + keep;
        for (let c = 0; c < 3; c += 1) {
          const content = texture[i4 + c] * w00 + texture[j4 + c] * w01 + texture[k4 + c] * w10 + texture[l4 + c] * w11;
          out[o + c] = (content * shown + out[o + c] * keep) / sum;
        }
        out[o + 3] = sum * 255;
      }
    }
  }
}

/** Where a layer is, {top, left, bottom, right}; null where it is nowhere. */
function boxOf(alpha, width, height) {
  let top = height, left = width, bottom = 0, right = 0;
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (!alpha[i]) continue;
      if (y < top) top = y;
      if (y >= bottom) bottom = y + 1;
      if (x < left) left = x;
      if (x >= right) right = x + 1;
    }
  }
  return bottom ? { top, left, bottom, right } : null;
}

/** The part of the picture into which a field can bring a box. */
function reached(box, { data }, width, height) {
  let least = [Infinity, Infinity], most = [-Infinity, -Infinity];
  for (let k = 0; k < data.length; k += 2) {
    for (let axis = 0; axis < 2; axis += 1) {
      const value = data[k + axis];
      if (value < least[axis]) least[axis] = value;
      if (value > most[axis]) most[axis] = value;
    }
  }
  const low = (edge, shift, most_) => Math.min(Math.max(Math.floor(edge - shift) - 1, 0), most_);
  const high = (edge, shift, most_) => Math.min(Math.max(Math.ceil(edge - shift) + 1, 0), most_);
  return [low(box.top, most[1] * height, height), low(box.left, most[0] * width, width),
    high(box.bottom, least[1] * height, height), high(box.right, least[0] * width, width)];
}
