// learn a style: the drawing, how it lies on its picture, and the sketch that gets better
import { sentence } from "./cards.js";
import { curve } from "./curve.js";
import { icon } from "./icons.js";

const INKS = [["lines", "Lines"], ["grey", "Grey"], ["colour", "Colour"]];
const HOW = { lines: "Black lines on white.", grey: "Pencil and washes, as they are.", colour: "Coloured, as it is." };

/** Build the section that takes a drawing. */
export function pairing(h, dom, tab) {
  const { teaching } = tab;
  const choose = h("button", { type: "button", class: "main", id: "sketch-choose", title: "Choose a drawing (L)", onclick: () => teaching.choose() }, "Choose a drawing");
  const example = h("button", { type: "button", id: "sketch-example", onclick: () => teaching.example() }, "Show me");
  const drop = h("div", { class: "sketch-drop", "data-takes-pictures": "" }, icon("pencil"),
    h("p", {}, "Draw the picture on the desk, on paper or on a screen, and drop the drawing. From this one pair a style is learnt."), h("div", { class: "row centred" }, choose, example));
  const fit = h("input", { type: "checkbox", id: "sketch-fit", onchange: () => teaching.reads({ fit: fit.checked }) });
  const ink = dom.segments({ label: "Ink", options: INKS, value: "lines", onchange: (value) => teaching.reads({ ink: value }) });
  const how = h("p", { class: "faint small-text" });
  const overlay = h("img", { class: "sketch-overlay", alt: "The drawing, laid over its picture" });
  const notes = h("ul", { class: "sketch-notes small-text", "aria-label": "How the drawing lies" });
  const warning = h("p", { class: "sketch-warning small-text" });
  const other = h("button", { type: "button", class: "small", onclick: () => teaching.choose() }, "Another");
  const forget = h("button", { type: "button", class: "small", id: "sketch-forget", onclick: () => teaching.unpair() }, "Forget it");
  const refused = h("p", { class: "error", id: "sketch-refused", role: "alert" });
  const pair = h("div", { class: "group", "data-takes-pictures": "", id: "sketch-pair" }, overlay, notes, warning, h("div", { class: "row" }, other, forget));
  const title = h("input", { type: "text", id: "sketch-new-title", maxLength: 60, placeholder: "My style", oninput: () => teaching.learns({ title: title.value }) });
  const prompt = h("input", { type: "text", id: "sketch-prompt", maxLength: 300, placeholder: "a face with a yellow shirt", oninput: () => teaching.learns({ prompt: prompt.value }) });
  const amount = dom.segments({ label: "How long", options: [["quick", "Quick look"], ["full", "Full"]], value: "quick", onchange: (value) => teaching.learns({ amount: value }) });
  const long = h("p", { class: "faint small-text" });
  const learn = h("button", { type: "button", class: "main", id: "sketch-learn", onclick: () => teaching.learn() }, "Learn this style");
  const reason = h("p", { class: "faint small-text", id: "sketch-learn-why" });
  const asking = h("div", { class: "group" },
    h("div", { class: "field" }, h("label", { htmlFor: "sketch-new-title" }, "Name of the style"), title),
    h("div", { class: "field" }, h("label", { htmlFor: "sketch-prompt" }, "What the picture shows, in words"), prompt), amount.root, long, learn, reason);
  const mends = h("label", { class: "check" }, fit, "Mend one that does not lie on its picture");
  const reading = h("div", { class: "group" }, ink.root, how, mends);
  const root = h("section", { class: "group", id: "sketch-learning", "aria-label": "Learn a style" }, h("h2", {}, "Learn a style"), drop, pair, refused, reading, asking);
  for (const place of [drop, pair]) place.addEventListener("picture-dropped", ({ detail }) => teaching.take(detail));

  function show() {
    const { wants, pair: found } = teaching, busy = tab.isBusy("learn");
    root.hidden = busy || tab.isBusy("distil");
    drop.hidden = Boolean(found);
    pair.hidden = asking.hidden = !found;
    fit.checked = wants.fit;
    mends.hidden = wants.ink !== "lines";
    ink.value = wants.ink;
    how.textContent = HOW[wants.ink];
    refused.textContent = teaching.refused;
    refused.hidden = !teaching.refused;
    amount.value = wants.amount;
    for (const [field, value] of [[title, wants.title], [prompt, wants.prompt]]) if (document.activeElement !== field) field.value = value;
    const amounts = tab.told?.amounts;
    long.textContent = amounts ? `${amounts[wants.amount]} steps${wants.amount === "quick" ? ": shows what it will be like" : ": as good as it gets"}.` : "";
    learn.disabled = tab.studio.model.status !== "ready";
    reason.textContent = learn.disabled ? "Waits for the model." : "";
    reason.hidden = !learn.disabled;
    if (!found) return;
    if (overlay.getAttribute("src") !== found.overlay) overlay.src = found.overlay;
    const agreement = Number.isFinite(found.agreement) ? `Its lines follow the picture's edges: ${Math.round(100 * found.agreement)} %` : "";
    notes.replaceChildren(...[...found.mended, agreement].filter(Boolean).map((line) => h("li", {}, sentence(line))));
    warning.textContent = sentence(found.warning ?? "");
    warning.hidden = !found.warning;
  }
  return { root, show };
}

/** Build what is seen of a style, or of its student, that is being learnt. */
export function working(h, tab) {
  const heading = h("h2", {}), said = h("p", { class: "small-text number", id: "sketch-step" }), bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of learning" });
  const stop = h("button", { type: "button", id: "sketch-stop", onclick: () => tab.stop(tab.isBusy("learn") ? "learn" : "distil") }, "Stop");
  const loss = curve(), pictures = h("div", { class: "sketch-live" });
  const root = h("section", { class: "group", id: "sketch-working", "aria-label": "Learning" }, heading, pictures, loss.root, said, bar, h("div", { class: "row" }, stop));
  const LABELS = { try: "The drawn picture", other: "Another picture", student: "The student", teacher: "The style" };
  const figures = new Map();

  function show() {
    const job = tab.jobs.get("learn") ?? tab.jobs.get("distil"), { live } = tab.teaching;
    root.hidden = !job;
    if (!job) { figures.clear(); pictures.replaceChildren(); return; }
    heading.textContent = job.name === "learn" ? "Learning" : "Making it fast";
    for (const [name, image] of Object.entries(live.pictures)) {
      if (!figures.has(name)) {
        figures.set(name, h("img", { alt: `${LABELS[name] ?? name}, as it is drawn now` }));
        pictures.append(h("figure", {}, figures.get(name), h("figcaption", { class: "faint small-text" }, LABELS[name] ?? name)));
      }
      if (figures.get(name).getAttribute("src") !== image) figures.get(name).src = image;
    }
    const last = live.points.at(-1);
    loss.show(live.points, last?.of ?? 1);
    const words = last ? [`${last.iteration} of ${last.of}`, `loss ${last.loss.toPrecision(3)}`, left(last.left_s)] : [standing(job)];
    said.textContent = words.filter(Boolean).join(" · ");
    if (last) bar.value = last.iteration / last.of; else if (job.of) bar.value = job.done / job.of; else bar.removeAttribute("value");
    stop.disabled = tab.isStopping;
    stop.textContent = tab.isStopping ? "Stopping …" : "Stop";
  }
  return { root, show };
}

/** Where a job stands, in words. */
export function standing(job) {
  if (job.status === "waiting") return `Waits for ${job.place === 1 ? "the job before" : `${job.place} jobs before`}`;
  const stage = sentence(job.stage || "Begins");
  return job.of ? `${stage}: ${job.done} of ${job.of}` : `${stage} …`;
}

function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  return seconds < 90 ? `${Math.max(1, Math.round(seconds))} s left` : `${Math.round(seconds / 60)} min left`;
}
