// what a person asks for: drags, pins, regions, a mask; a value that is replaced, never changed, so that undo keeps it

export const EMPTY = { drags: [], pins: [], regions: [], mask: null, mode: "auto", prompt: "", seed: 0 };
export const MODES = [["auto", "Auto"], ["move", "Move"], ["reshape", "Reshape"], ["copy", "Copy"]];

const LONGEST = 1024; // px of a raster's longer side
const STATE_LETTERS = 900_000, REMEMBERED = 6;

/** Size of the raster that a picture is brushed on. */
export function rasterOf({ width, height }) {
  const shrink = Math.max(1, Math.max(width, height) / LONGEST);
  return { width: Math.max(1, Math.round(width / shrink)), height: Math.max(1, Math.round(height / shrink)) };
}

export const moves = (region) => Math.hypot(region.dx, region.dy) > 0;
export const length = (drag) => Math.hypot(drag.u - drag.x, drag.v - drag.y);

/** Whether there is something to do. */
export const asksForAnything = (doc) => doc.regions.some(moves) || doc.drags.some((drag) => length(drag) > 0);

/** Where a region is: the middle of its pixels, in pixels of the picture. */
export function middle(region, picture) {
  if (!region.mask.middle) {
    const { width, height, runs } = region.mask;
    let at = 0, count = 0, x = 0, y = 0;
    runs.forEach((run, i) => {
      for (let k = at; i % 2 && k < at + run; k += 1) { x += k % width; y += Math.floor(k / width); count += 1; }
      at += run;
    });
    region.mask.middle = { x: (x / count + 0.5) / width, y: (y / count + 0.5) / height };
  }
  return { x: region.mask.middle.x * picture.width, y: region.mask.middle.y * picture.height };
}

/** Points as the page lists them, {kind, i, label, x, y}. */
export function listed(doc, picture) {
  const many = doc.drags.length > 1 ? (i) => ` ${i + 1}` : () => "";
  return [
    ...doc.drags.flatMap((drag, i) => [
      { kind: "handle", i, label: `From${many(i)}`, x: drag.x, y: drag.y },
      { kind: "target", i, label: `To${many(i)}`, x: drag.u, y: drag.v },
    ]),
    ...doc.regions.map((region, i) => {
      const at = middle(region, picture);
      return { kind: "region", i, label: `Region${doc.regions.length > 1 ? ` ${i + 1}` : ""} to`, x: at.x + region.dx, y: at.y + region.dy };
    }),
    ...doc.pins.map((pin, i) => ({ kind: "pin", i, label: `Pin${doc.pins.length > 1 ? ` ${i + 1}` : ""}`, x: pin.x, y: pin.y })),
  ];
}

const put = (list, i, one) => list.map((old, k) => (k === i ? one : old));
const without = (list, i) => list.filter((_, k) => k !== i);

/** Move a point to a place; what has to stay inside the picture does. */
export function moved(doc, { kind, i }, x, y, picture) {
  const within = (value, most) => Math.round(Math.min(Math.max(value, 0), most) * 100) / 100;
  [x, y] = [within(x, picture.width), within(y, picture.height)];
  if (kind === "handle") return { ...doc, drags: put(doc.drags, i, { ...doc.drags[i], x, y }) };
  if (kind === "target") return { ...doc, drags: put(doc.drags, i, { ...doc.drags[i], u: x, v: y }) };
  if (kind === "pin") return { ...doc, pins: put(doc.pins, i, { x, y }) };
  const at = middle(doc.regions[i], picture);
  const dx = Math.round((x - at.x) * 100) / 100, dy = Math.round((y - at.y) * 100) / 100;
  return { ...doc, regions: put(doc.regions, i, { ...doc.regions[i], dx, dy }) };
}

/** Take a point away; handle and target go together. */
export function removed(doc, { kind, i }) {
  if (kind === "pin") return { ...doc, pins: without(doc.pins, i) };
  if (kind === "region") return { ...doc, regions: without(doc.regions, i) };
  return { ...doc, drags: without(doc.drags, i) };
}

/** Masks are sent once and called by their key ever after. */
async function keyOf(studio, mask) {
  mask.sent ??= studio.act("mask", { width: mask.width, height: mask.height }, { runs: Uint32Array.from(mask.runs) })
    .then((answer) => answer.mask, (error) => { mask.sent = null; throw error; });
  return mask.sent;
}

/** The values that the server is asked by; null where nothing is dragged. `loose` lets a drag without length be a little one. */
export async function asked(studio, doc, loose = false) {
  const regions = doc.regions.filter(moves);
  const drags = regions.length ? [] : doc.drags.filter((drag) => loose || length(drag) > 0);
  if (!regions.length && !drags.length) return null;
  const row = (drag) => (length(drag) > 0 ? [drag.x, drag.y, drag.u, drag.v] : [drag.x, drag.y, drag.x + (drag.x > 2 ? -1 : 1), drag.y]);
  return {
    points: drags.map(row),
    pins: doc.pins.map(({ x, y }) => [x, y]),
    regions: await Promise.all(regions.map(async ({ mask, dx, dy }) => ({ mask: await keyOf(studio, mask), dx, dy }))),
    mask: doc.mask ? await keyOf(studio, doc.mask) : null,
    mode: doc.mode, prompt: doc.prompt, seed: doc.seed,
  };
}

/** The other way: what an edit of the history was asked, with its masks fetched. */
export async function recalled(studio, told, picture) {
  const raster = rasterOf(picture);
  const fetched = async (key) => {
    const { parts } = await studio.act("brushed", { mask: key, ...raster });
    return { ...raster, runs: [...new Uint32Array(parts.runs)], sent: Promise.resolve(key) };
  };
  return {
    ...EMPTY, mode: told.mode, prompt: told.prompt, seed: told.seed,
    drags: told.points.map(([x, y, u, v]) => ({ x, y, u, v })),
    pins: told.pins.map(([x, y]) => ({ x, y })),
    regions: await Promise.all(told.regions.map(async ({ mask, dx, dy }) => ({ mask: await fetched(mask), dx, dy }))),
    mask: told.mask ? await fetched(told.mask) : null,
  };
}

const bare = (mask) => mask && { width: mask.width, height: mask.height, runs: mask.runs };
const packed = (doc) => ({ ...doc, mask: bare(doc.mask), regions: doc.regions.map((one) => ({ ...one, mask: bare(one.mask) })) });

/** Put a document into the state that is saved, with those of the pictures before it as far as they fit. */
export function remembered(state, id, doc) {
  const others = Object.entries(state?.pictures ?? {}).filter(([key]) => key !== id).slice(-REMEMBERED + 1);
  const pictures = [...others, [id, packed(doc)]];
  while (pictures.length > 1 && JSON.stringify(pictures).length > STATE_LETTERS) pictures.shift();
  return Object.fromEntries(pictures);
}
