// where layers go while the pointer moves: from the server's last answer to targets that it has not seen yet

/** A field is {rows, columns, data}: for each unit (dx, dy), from where it is read, in shares of the picture. */
const uniform = (dx, dy) => ({ rows: 1, columns: 1, data: new Float32Array([dx, dy]) });
const backs = (points) => points.map(([x, y, u, v]) => [x - u, y - v]);

function mean(points) {
  const sum = backs(points).reduce(([a, b], [dx, dy]) => [a + dx, b + dy], [0, 0]);
  return [sum[0] / points.length, sum[1] / points.length];
}

/** The server's fields of an answer, one a layer. */
export function answered({ grid: [rows, columns], kinds, parts }) {
  const all = new Float32Array(parts.fields), size = rows * columns * 2;
  return kinds.map((_, i) => ({ rows, columns, data: all.subarray(i * size, (i + 1) * size) }));
}

/**
 * Fields for what is asked now. `known` is the last answer, {asked, kinds, fields}; what moves whole, or turns and scales, is
 * exact; what bends or stretches is its known field, scaled at each unit by how the handles near to it have moved since.
 */
export function predicted(known, now, { width, height }) {
  if (now.regions.length) return now.regions.map(({ dx, dy }) => uniform(-dx / width, -dy / height));
  const whole = () => { const [dx, dy] = mean(now.points); return [uniform(dx / width, dy / height)]; };
  if (!known || known.kinds[0] === "move" || known.kinds[0] === "regions") return whole();
  if (known.asked.points.length !== now.points.length) return whole();
  if (known.kinds[0] === "similarity") return [turned(known.fields[0], now.points, width, height)];
  return [scaled(known, now.points, width, height)];
}

/** Turn, scale and move everything: least squares over the drags, as `fields.similarity` of the plan. */
function turned({ rows, columns }, points, width, height) {
  const count = points.length, [bx, by] = mean(points);
  const middle = points.reduce(([a, b], [, , u, v]) => [a + u / count, b + v / count], [0, 0]);
  let spread = 0, real = 0, imaginary = 0;
  for (const [x, y, u, v] of points) {
    const [tx, ty] = [u - middle[0], v - middle[1]], [hx, hy] = [x - (middle[0] + bx), y - (middle[1] + by)];
    spread += tx * tx + ty * ty;
    real += tx * hx + ty * hy;
    imaginary += tx * hy - ty * hx;
  }
  const [a, b] = spread > 1e-3 ? [real / spread, imaginary / spread] : [1, 0];
  const data = new Float32Array(rows * columns * 2);
  for (let i = 0, k = 0; i < rows; i += 1) {
    const y = ((i + 0.5) / rows) * height - middle[1];
    for (let j = 0; j < columns; j += 1, k += 2) {
      const x = ((j + 0.5) / columns) * width - middle[0];
      data[k] = (a * x - b * y + bx - x) / width;
      data[k + 1] = (b * x + a * y + by - y) / height;
    }
  }
  return { rows, columns, data };
}

function scaled({ asked, fields }, points, width, height) {
  const { rows, columns, data: before } = fields[0];
  const was = backs(asked.points), is = backs(points);
  if (points.length === 1) return { rows, columns, data: shared(before, was[0], is[0], width, height) };
  const data = Float32Array.from(before);
  const more = is.map(([dx, dy], i) => [(dx - was[i][0]) / width, (dy - was[i][1]) / height]);
  for (let i = 0, k = 0; i < rows; i += 1) {
    const y = ((i + 0.5) / rows) * height;
    for (let j = 0; j < columns; j += 1, k += 2) {
      const x = ((j + 0.5) / columns) * width;
      let sum = 0, dx = 0, dy = 0;
      const near = (u, v) => 1 / ((x - u) ** 2 + (y - v) ** 2 + 1);
      points.forEach(([, , u, v], n) => {
        const weight = near(u, v);
        sum += weight;
        dx += weight * more[n][0];
        dy += weight * more[n][1];
      });
      for (const [u, v] of asked.pins) sum += near(u, v);
      data[k] += dx / sum;
      data[k + 1] += dy / sum;
    }
  }
  return { rows, columns, data };
}

/** One handle: each unit keeps its share of the way. */
function shared(before, was, is, width, height) {
  const data = new Float32Array(before.length), far = was[0] ** 2 + was[1] ** 2;
  for (let k = 0; k < data.length; k += 2) {
    const share = far > 0.25 ? (before[k] * width * was[0] + before[k + 1] * height * was[1]) / far : 1;
    data[k] = (share * is[0]) / width;
    data[k + 1] = (share * is[1]) / height;
  }
  return data;
}
