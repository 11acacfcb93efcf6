// what came of an edit: candidates, how far each point came and what to try, before and after, files to take along
import { icon } from "./icons.js";

const FILES = [["picture", "Picture", "PNG"], ["animation", "Animation", "GIF"], ["session", "Session", "safetensors"], ["record", "Record", "JSON"]];
const TO_TRY = ["“Move” or “Reshape”", "a pin on what must stay", "a mask around one thing", "the thing itself brushed as a region"];

export function results(h, tab) {
  const bars = h("ul", { class: "drag-bars", "aria-label": "How far each point came" });
  const remarks = h("ul", { class: "drag-remarks small-text" });
  const thumbs = h("div", { class: "thumbs", role: "group", "aria-label": "Candidates" });
  const more = h("button", { type: "button", class: "small", title: "The same with other noise", onclick: () => tab.apply(true) }, "Other candidates");
  const candidates = h("div", { class: "group" }, h("h3", {}, "Candidates", more), thumbs);
  const compare = h("button", { type: "button", class: "small", id: "drag-compare", title: "Before and after (K)", onclick: () => tab.compare() }, icon("compare"), "Compare");
  const accept = h("button", { type: "button", id: "drag-accept", title: "The result becomes the picture that you drag next", onclick: () => tab.accept() }, "Keep, and go on");
  const time = h("span", { class: "faint small-text number" });
  const result = h("section", { class: "group", id: "drag-result", "aria-label": "Result" }, h("h2", {}, "Result", h("span", { class: "row" }, time, compare)),
    bars, remarks, candidates, accept);
  const files = h("section", { class: "group", "aria-label": "Save" }, h("h2", {}, "Save"), h("div", { class: "drag-files" },
    FILES.map(([kind, name, form]) => h("button", { type: "button", class: "small", id: `drag-save-${kind}`, onclick: () => tab.export(kind) }, icon("save"), name,
      h("span", { class: "faint" }, form)))));

  function show() {
    const edit = tab.told?.edit;
    result.hidden = !edit;
    for (const kind of ["animation", "record"]) files.querySelector(`#drag-save-${kind}`).disabled = !edit;
    files.hidden = !tab.told;
    if (!edit) return;
    time.textContent = edit.seconds ? `${edit.seconds.toFixed(1)} s` : "";
    compare.setAttribute("aria-pressed", String(tab.isCompared));
    const measured = edit.points.length && edit.measured === edit.chosen;
    bars.replaceChildren(...(measured ? edit.points.map((point, i) => barOf(h, point, edit.points.length > 1 ? `${i + 1}` : "")) : []));
    const short = measured && edit.points.some((point) => !point.reached);
    const lines = [...edit.remarks, measured || !edit.points.length ? "" : `How far points came was measured on candidate ${edit.measured + 1}.`,
      short ? `To try: ${TO_TRY.join(", ")}.` : ""];
    remarks.replaceChildren(...lines.filter(Boolean).map((line) => h("li", {}, line[0].toUpperCase() + line.slice(1))));
    candidates.hidden = edit.candidates.length < 2;
    thumbs.replaceChildren(...edit.candidates.map((address, i) => h("button", { type: "button", "aria-pressed": String(i === edit.chosen),
      "aria-label": `Candidate ${i + 1} of ${edit.candidates.length}`, onclick: () => tab.pick(i) }, h("img", { src: address, alt: "" }))));
  }
  return { result, files, show };
}

function barOf(h, point, label) {
  const [[x, y], [u, v]] = [point.handle, point.target], far = Math.hypot(u - x, v - y), left = point.final_px_error;
  const came = Math.max(0, Math.min(1, 1 - left / (far || 1)));
  const text = point.reached ? `there, ${left.toFixed(1)} px off` : `${left.toFixed(0)} of ${far.toFixed(0)} px short`;
  const meter = h("div", { class: "meter", role: "meter", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": Math.round(100 * came),
    "aria-valuetext": text, "aria-label": `Way that point ${label || 1} came` }, h("i"));
  meter.firstChild.style.width = `${Math.max(2, 100 * came)}%`;
  return h("li", { class: point.reached ? "reached" : "" }, h("span", { class: "number" }, label ? `Point ${label}` : "Point"), meter, h("span", { class: "number faint" }, text));
}
