// what a person takes along, and a folder that is drawn
import { inWords } from "./choice.js";
import { icon } from "./icons.js";
import { standing } from "./learning.js";

const FILES = [["png", "Picture", "PNG"], ["svg", "Lines", "SVG"], ["style", "Style", "weights"], ["student", "Student", "weights"], ["record", "Record", "JSON"]];
const LATEST = 12; // pictures of a folder that are shown

export function saving(h, tab) {
  const buttons = FILES.map(([what, name, form]) => h("button", { type: "button", class: "small", id: `sketch-save-${what}`, onclick: () => tab.export(what) },
    icon("save"), name, h("span", { class: "faint" }, form)));
  const why = h("p", { class: "faint small-text" });
  const root = h("section", { class: "group", "aria-label": "Save" }, h("h2", {}, "Save"), h("div", { class: "sketch-files" }, buttons), why);
  function show() {
    const { drawn } = tab, one = drawn?.styles.length === 1 && tab.styles.find(({ id }) => id === drawn.styles[0]);
    root.hidden = !drawn;
    const not = { svg: !drawn?.svg, style: !one, student: !one?.student };
    FILES.forEach(([what], i) => { buttons[i].disabled = Boolean(not[what]); });
    const reasons = [not.svg && "This sketch has tones, which are no lines to save as SVG.", not.style && "A mix is saved as its lines of Python.",
      one && not.student && !one.bundled && "“Make it fast” gives the style a student."];
    why.textContent = reasons.filter(Boolean).join(" ");
    why.hidden = !why.textContent;
  }
  return { root, show };
}

export function folder(h, tab) {
  const { batch } = tab;
  const input = (id, more) => h("input", { type: "file", id, multiple: true, hidden: true, onchange: ({ target }) => { batch.take([...target.files]); target.value = ""; }, ...more });
  const whole = input("sketch-folder", { webkitdirectory: true, "aria-label": "Folder to draw" }), some = input("sketch-pictures", { accept: "image/*", "aria-label": "Pictures to draw" });
  const choose = h("button", { type: "button", id: "sketch-choose-folder", onclick: () => whole.click() }, "Choose a folder");
  const pick = h("button", { type: "button", onclick: () => some.click() }, "Choose pictures");
  const said = h("p", { class: "small-text", id: "sketch-batch-said", role: "status" }), bar = h("progress", { max: 1, value: 0, "aria-label": "Progress of the folder" });
  const thumbs = h("div", { class: "thumbs sketch-drawn", "aria-label": "Drawn", role: "group" });
  const notes = h("ul", { class: "sketch-notes small-text" });
  const draw = h("button", { type: "button", class: "main", id: "sketch-batch", onclick: () => batch.draw() });
  const svg = h("input", { type: "checkbox", id: "sketch-batch-svg", onchange: () => batch.besides(svg.checked) });
  const svgs = h("label", { class: "check" }, svg, "SVG beside each picture");
  const stop = h("button", { type: "button", id: "sketch-batch-stop", onclick: () => tab.stop("batch") }, "Stop");
  const zip = h("button", { type: "button", id: "sketch-zip", onclick: () => tab.export("zip") }, icon("save"), "Save ZIP");
  const empty = h("button", { type: "button", class: "small", id: "sketch-unbatch", onclick: () => batch.empty() }, "Empty");
  const root = h("section", { class: "group", id: "sketch-batches", "aria-label": "Draw a folder" }, h("h2", {}, "Draw a folder", empty), said, bar, thumbs, notes, svgs,
    h("div", { class: "row" }, draw, stop, zip, choose, pick), whole, some);
  function show() {
    const { files, done } = batch, job = tab.jobs.get("batch"), asked = tab.asked(), count = files.length;
    const latest = Object.entries(batch.drawn).slice(-LATEST);
    empty.hidden = !count || Boolean(job);
    draw.hidden = svgs.hidden = !count || Boolean(job);
    draw.textContent = `Draw ${count === 1 ? "1 picture" : `${count} pictures`}`;
    draw.disabled = !asked || tab.studio.model.status !== "ready";
    svg.checked = batch.svg;
    stop.hidden = bar.hidden = !job;
    zip.hidden = !done || Boolean(job);
    choose.hidden = pick.hidden = Boolean(job) || Boolean(batch.adding);
    if (job?.of) bar.value = job.done / job.of; else bar.removeAttribute("value");
    said.textContent = batch.adding || (job ? standing(job) : done ? `${done} of ${count} drawn.`
      : count ? (asked ? `${count === 1 ? "One picture" : `${count} pictures`}, to be drawn in ${inWords(asked, tab.styles)}.` : "Pick a style to draw them in.")
        : "Any number of pictures, each drawn in the style that is picked, in one ZIP.");
    thumbs.hidden = !latest.length;
    const seen = new Map([...thumbs.children].map((image) => [image.getAttribute("src"), image])); // the server shows them for a while only
    const images = latest.map(([name, address]) => seen.get(address) ?? h("img", { src: address, alt: name, title: name }));
    if (images.length !== thumbs.children.length || images.some((image) => !image.isConnected)) thumbs.replaceChildren(...images);
    notes.hidden = !batch.notes.length;
    notes.replaceChildren(...batch.notes.slice(0, 6).map((line) => h("li", {}, line)));
  }
  return { root, show };
}
