// the side of the tab where everything has a number, a name and a button
import { asksForAnything, listed, MODES, moved, moves, removed } from "./document.js";
import { icon } from "./icons.js";
import { Raster, share } from "./raster.js";
import { TOOLS } from "./tools.js";

/** Build the bar of tools that lies over the picture. */
export function toolbar(h, tab) {
  const buttons = TOOLS.map(([name, title, key, says]) => h("button", { type: "button", class: "icon", id: `drag-tool-${name}`,
    "aria-label": `${title}: ${says}`, title: `${title} (${key.toUpperCase()})`, onclick: () => tab.use(name) }, icon(name)));
  const undo = h("button", { type: "button", class: "icon quiet", "aria-label": "Undo", onclick: () => tab.studio.undo.undo() }, icon("undo"));
  const redo = h("button", { type: "button", class: "icon quiet", "aria-label": "Redo", onclick: () => tab.studio.undo.redo() }, icon("redo"));
  const root = h("div", { class: "drag-tools", role: "toolbar", "aria-label": "Tools" }, buttons, h("hr"), undo, redo);
  function show() {
    TOOLS.forEach(([name], i) => buttons[i].setAttribute("aria-pressed", String(tab.tools.tool === name)));
    const { canUndo, canRedo } = tab.studio.undo;
    for (const [button, does, label] of [[undo, "Undo", canUndo], [redo, "Redo", canRedo]]) {
      button.disabled = !label;
      button.title = label ? `${does}: ${label}` : does;
    }
  }
  return { root, show };
}

/** Build the panel of what is asked for. */
export function asking(h, dom, tab) {
  const hint = h("p", { class: "faint small-text" });
  const example = h("button", { type: "button", class: "small", id: "drag-example", onclick: () => tab.example() }, "Show me: a scene with its drag");
  const points = dom.pointList({ label: "Points", points: () => (tab.picture ? listed(tab.doc, tab.picture) : []),
    change: (i, x, y) => tab.change("type a number", moved(tab.doc, listed(tab.doc, tab.picture)[i], x, y, tab.picture)),
    remove: (i) => tab.change("remove a point", removed(tab.doc, listed(tab.doc, tab.picture)[i])) });
  points.root.addEventListener("focusin", (event) => {
    const row = [...points.root.children].findIndex((one) => one.contains(event.target));
    const point = listed(tab.doc, tab.picture)[row];
    if (point) tab.tools.select({ kind: point.kind, i: point.i });
  });
  const clear = h("button", { type: "button", class: "small", onclick: () => tab.change("clear all points", { ...tab.doc, drags: [], pins: [], regions: [] }) }, "Clear");
  const clicks = h("input", { type: "checkbox", id: "drag-clicks", onchange: () => tab.byClicks(clicks.checked) });
  const said = h("p", { class: "small-text", id: "drag-mask-said" });
  const whole = h("button", { type: "button", class: "small", onclick: () => tab.change("clear the mask", { ...tab.doc, mask: null }) }, "Clear");
  const other = h("button", { type: "button", class: "small", onclick: () => {
    const raster = new Raster(tab.doc.mask, tab.doc.mask);
    raster.invert();
    tab.change("invert the mask", { ...tab.doc, mask: raster.mask });
  } }, "Invert");
  const brush = dom.slider({ label: "Brush", min: 2, max: 200, value: 24, show: (px) => `${px} px`, oninput: (px) => tab.brush(px) });
  const mode = dom.segments({ label: "How the layer follows", options: MODES, value: "auto", onchange: (value) => tab.change("how it follows", { ...tab.doc, mode: value }) });
  const how = h("p", { class: "faint small-text" });
  const prompt = h("input", { type: "text", id: "drag-prompt", maxLength: 2000, onchange: () => tab.change("what the picture shows", { ...tab.doc, prompt: prompt.value }) });
  const root = h("div", { class: "drag-asking" },
    h("section", { class: "group", "aria-label": "Points" }, h("h2", {}, "Points", clear), hint, points.root, example, h("label", { class: "check" }, clicks, "Click, then click, instead of pulling")),
    h("section", { class: "group", "aria-label": "Mask" }, h("h2", {}, "Mask", h("span", { class: "row" }, other, whole)), said, brush.root),
    h("section", { class: "group", "aria-label": "How" }, h("h2", {}, "How"), mode.root, how,
      h("div", { class: "field" }, h("label", { htmlFor: "drag-prompt" }, "What the picture shows, in words"), prompt)));

  function show() {
    const { doc } = tab, count = doc.drags.length + doc.pins.length + doc.regions.length;
    const tool = TOOLS.find(([name]) => name === tab.tools.tool);
    hint.textContent = doc.regions.some(moves) && doc.drags.length ? "Regions move, in place of the drags." : count ? "" : `${tool[3]}.`;
    hint.hidden = !hint.textContent;
    points.show();
    example.hidden = Boolean(count) || Boolean(tab.told?.edit);
    clear.hidden = !count;
    const part = doc.mask && share(doc.mask);
    said.textContent = !doc.mask ? "No mask: everything may move. Brush what may change to hold the rest still."
      : `${(100 * part).toFixed(part < 0.1 ? 1 : 0)} % of the picture may move${part > 0.6 ? "; brush less to hold more still" : "; the rest stays as it is"}.`;
    whole.hidden = other.hidden = !doc.mask;
    brush.root.hidden = !tab.tools.brushes;
    brush.value = tab.tools.brush;
    mode.value = doc.mode;
    how.textContent = HOW[doc.mode];
    if (document.activeElement !== prompt) prompt.value = doc.prompt;
    clicks.checked = tab.tools.clicks;
  }
  return { root, show };
}

const HOW = {
  auto: "What suits the layer: it moves, turns, stretches or bends.",
  move: "The layer moves, turns or grows as a whole.",
  reshape: "The layer is held at one side and stretched or bent.",
  copy: "The layer moves, and stays where it was as well.",
};

/** Build the button that does it, and what is said of it. */
export function applying(h, tab) {
  const said = h("p", { class: "small-text drag-state", id: "drag-state", role: "status" });
  const bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the edit", hidden: true });
  const apply = h("button", { type: "button", class: "main", id: "drag-apply", title: "Apply (A)", onclick: () => tab.apply() }, "Apply");
  const stop = h("button", { type: "button", id: "drag-stop", hidden: true, onclick: () => tab.stop() }, "Stop");
  const resume = h("button", { type: "button", class: "main", id: "drag-resume", hidden: true, onclick: () => tab.resume() }, "Resume");
  const discard = h("button", { type: "button", id: "drag-discard", hidden: true, onclick: () => tab.discard() }, "Discard");
  const root = h("section", { class: "group drag-apply", "aria-label": "Apply" }, said, bar, h("div", { class: "row" }, apply, stop, resume, discard));
  function show() {
    const job = tab.job, paused = Boolean(tab.told?.going) && !job;
    apply.hidden = Boolean(job) || paused;
    apply.disabled = !asksForAnything(tab.doc) || tab.studio.model.status === "failed";
    stop.hidden = !job;
    resume.hidden = discard.hidden = !paused;
    bar.hidden = !job;
    if (job?.of) bar.value = job.done / job.of; else bar.removeAttribute("value");
    said.textContent = paused ? "Stopped; nothing is lost." : job ? working(job) : tab.state;
    said.classList.toggle("wrong", !job && !paused && tab.isRefused);
    said.hidden = !said.textContent;
  }
  return { root, show };
}

function working(job) {
  if (job.status === "waiting") return `Waits for ${job.place === 1 ? "the job before" : `${job.place} jobs before`}`;
  const stage = job.stage ? job.stage[0].toUpperCase() + job.stage.slice(1) : "Begins";
  return job.of ? `${stage}: ${job.done} of ${job.of}` : `${stage} …`;
}
