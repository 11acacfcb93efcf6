// what lies over the picture: masks and regions in their colours, arrows, points, the brush
import { listed, middle, moves } from "./document.js";
import { outlined, tinted } from "./raster.js";

const GRIP_PX = 13, GRIP_TOUCH_PX = 22; // CSS px around a point that are the point

/** The point under a place of the screen, {kind, i}; the selected one first, then what lies on top. */
export function pointAt(view, doc, [x, y], selected, isTouch) {
  const reach = isTouch ? GRIP_TOUCH_PX : GRIP_PX;
  const points = listed(doc, view).filter(({ kind }) => kind !== "region").map((point) => {
    const [u, v] = view.toScreen(point.x, point.y);
    const isOne = selected && selected.kind === point.kind && selected.i === point.i;
    return { ...point, far: Math.hypot(u - x, v - y) - (isOne ? 3 : 0) - (point.kind === "target" ? 1 : 0) };
  });
  const nearest = points.filter(({ far }) => far < reach).sort((a, b) => a.far - b.far)[0];
  return nearest ? { kind: nearest.kind, i: nearest.i } : null;
}

/** Draw everything. `state`: {doc, live, selected, pending, hover, brush, tool, dims}; live is a raster being brushed. */
export function drawAll(context, view, canvas, state) {
  const { doc, selected, live } = state;
  if (state.hides) return;
  const at = [view.left, view.top, view.width * view.scale, view.height * view.scale];
  context.imageSmoothingEnabled = true;
  const mask = live?.of === "mask" ? live.raster.canvas : doc.mask && tinted(doc.mask, canvas.colour("--accent"));
  const brushes = ["brush", "erase", "lasso"].includes(state.tool);
  if (mask && !state.dims) drawMask(context, mask, at, canvas.colour("--accent"), live?.of === "mask", brushes ? 0.34 : 0.06);
  if (doc.mask && !state.dims && live?.of !== "mask") context.drawImage(outlined(doc.mask, canvas.colour("--accent")), ...at);
  doc.regions.forEach((region, i) => {
    const shown = live?.of === i ? live.raster.canvas : tinted(region.mask, canvas.colour("--region"));
    if (!state.dims) drawMask(context, shown, at, canvas.colour("--region"), live?.of === i, moves(region) && state.tool !== "region" ? 0.1 : 0.4);
    if (live?.of === i) return;
    const from = middle(region, view), isOne = selected?.kind === "region" && selected.i === i;
    const ends = [view.toScreen(from.x, from.y), view.toScreen(from.x + region.dx, from.y + region.dy)];
    if (moves(region)) canvas.arrow(context, ...ends);
    mark(context, ends[1], canvas.colour("--region"), "square", isOne);
  });
  if (live?.of === "region") drawMask(context, live.raster.canvas, at, canvas.colour("--region"), true, 0.4);
  context.globalAlpha = state.dims || doc.regions.some(moves) ? 0.35 : 1;
  doc.drags.forEach((drag, i) => {
    const from = view.toScreen(drag.x, drag.y), to = view.toScreen(drag.u, drag.v);
    const is = (kind) => selected?.kind === kind && selected.i === i;
    if (drag.u !== drag.x || drag.v !== drag.y) {
      canvas.arrow(context, from, shortened(from, to));
      mark(context, to, canvas.colour("--target"), "ring", is("target"));
    }
    mark(context, from, canvas.colour("--handle"), "dot", is("handle"));
    if (doc.drags.length > 1) number(context, from, to, i + 1);
  });
  doc.pins.forEach((pin, i) => mark(context, view.toScreen(pin.x, pin.y), canvas.colour("--pin"), "square", selected?.kind === "pin" && selected.i === i));
  context.globalAlpha = 1;
  if (state.pending) {
    const from = view.toScreen(state.pending.x, state.pending.y);
    const to = state.hover ?? (view.cursor && view.toScreen(view.cursor.x, view.cursor.y));
    context.setLineDash([5, 5]);
    if (to) canvas.arrow(context, from, to);
    context.setLineDash([]);
    mark(context, from, canvas.colour("--handle"), "dot", true);
  }
  if (state.path?.length) drawPath(context, view, state.path);
  if (state.hover && state.brush) drawBrush(context, state.hover, state.brush * view.scale);
}

function drawMask(context, mask, at, colour, isLive, strength = 0.34) {
  let image = mask;
  if (isLive) { // brushed black so far: give it its colour
    image = Object.assign(document.createElement("canvas"), { width: mask.width, height: mask.height });
    const own = image.getContext("2d");
    own.drawImage(mask, 0, 0);
    own.globalCompositeOperation = "source-in";
    own.fillStyle = colour;
    own.fillRect(0, 0, mask.width, mask.height);
  }
  context.globalAlpha = strength;
  context.drawImage(image, ...at);
  context.globalAlpha = 1;
}

function shortened([x, y], [u, v]) {
  const far = Math.hypot(u - x, v - y), left = Math.max(0, far - 8) / (far || 1);
  return [x + (u - x) * left, y + (v - y) * left];
}

/** A point: a dot, a ring or a square, each told apart without its colour. */
function mark(context, [x, y], colour, form, isSelected) {
  const shape = (radius) => {
    context.beginPath();
    if (form === "square") context.rect(x - radius * 0.88, y - radius * 0.88, radius * 1.76, radius * 1.76);
    else context.arc(x, y, radius, 0, 2 * Math.PI);
  };
  if (isSelected) {
    shape(13);
    context.fillStyle = "#fff5";
    context.fill();
    context.lineWidth = 1.5;
    context.strokeStyle = "#fff";
    context.stroke();
  }
  shape(7.5);
  context.fillStyle = form === "ring" ? "#fff" : colour;
  context.fill();
  context.lineWidth = form === "ring" ? 4 : 2;
  context.strokeStyle = form === "ring" ? colour : "#fff";
  context.stroke();
  shape(form === "ring" ? 10 : 9);
  context.lineWidth = 1;
  context.strokeStyle = "#0008";
  context.stroke();
}

function number(context, [x, y], [u, v], value) {
  const angle = Math.atan2(y - v, x - u) || 0;
  const at = [x + 19 * Math.cos(angle), y + 19 * Math.sin(angle)];
  context.font = "600 12px system-ui, sans-serif";
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3.5;
  context.lineJoin = "round";
  context.strokeStyle = "#000b";
  context.strokeText(value, ...at);
  context.fillStyle = "#fff";
  context.fillText(value, ...at);
}

function drawPath(context, view, path) {
  for (const [width, colour] of [[3.5, "#0009"], [1.5, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.setLineDash(width < 2 ? [6, 4] : []);
    context.beginPath();
    path.forEach(([x, y], i) => { const at = view.toScreen(x, y); if (i) context.lineTo(...at); else context.moveTo(...at); });
    context.stroke();
  }
  context.setLineDash([]);
}

function drawBrush(context, [x, y], radius) {
  for (const [width, colour] of [[3, "#0008"], [1.5, "#fff"]]) {
    context.lineWidth = width;
    context.strokeStyle = colour;
    context.beginPath();
    context.arc(x, y, Math.max(radius, 2), 0, 2 * Math.PI);
    context.stroke();
  }
}
