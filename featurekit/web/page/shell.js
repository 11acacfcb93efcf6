// the shell: tabs, the picture on the desk, work, keys, and what each tab is given
import { h } from "/shell/dom.js";
import { get, listen, putPicture, Refused, send } from "/shell/wire.js";
import { makeStudio } from "/shell/studio.js";

const $ = (id) => document.getElementById(id);
const NEXT_THEME = { light: "dark", dark: "light" };

export const shell = {
  pictures: [], current: null, tabs: [], faults: {}, jobs: new Map(), model: { name: "", status: "waiting", error: "" },
  mounted: new Map(), // name -> {root, studio, button, ready}
  active: null,
  get picture() { return this.pictures.find((one) => one.id === this.current) ?? null; },
};

// words for the person

let quiet;
export function say(sentence, wrong = false) {
  clearTimeout(quiet);
  $("said").textContent = sentence;
  $("said").classList.toggle("wrong", wrong);
  if (!wrong) quiet = setTimeout(() => { $("said").textContent = ""; }, 8000);
}
addEventListener("unhandledrejection", (event) => {
  if (event.reason instanceof Refused) { say(event.reason.message, true); event.preventDefault(); }
});

// pictures

export async function upload(file, select = true) {
  say(`Reading ${file.name ?? "the picture"} …`);
  const picture = await putPicture(file, select);
  say(`${picture.name}: ${picture.width} × ${picture.height} px`);
  return picture;
}

export function chooseFile(accept = "image/*") {
  return new Promise((found) => {
    const input = $("file");
    input.accept = accept;
    input.value = "";
    input.onchange = () => found(input.files[0] ?? null);
    input.oncancel = () => found(null);
    input.click();
  });
}

async function open() {
  const file = await chooseFile();
  if (file) await upload(file);
}

function takePictures({ pictures, current }) {
  const before = shell.current;
  shell.pictures = pictures;
  shell.current = current;
  $("welcome").hidden = current !== null;
  $("panes").hidden = current === null;
  tell("pictures", shell.pictures);
  if (before !== current) tell("picture", shell.picture);
}

// tabs

function tell(kind, value, only = null) {
  for (const [name, one] of shell.mounted) if (only === null || only === name) one.studio.hear(kind, value);
}

function takeTabs({ tabs, faults, is_complete: isComplete }) {
  shell.tabs = tabs;
  shell.faults = faults;
  const list = $("tabs");
  list.querySelector(".waiting")?.remove();
  for (const tab of tabs) if (!shell.mounted.has(tab.name)) addTab(tab);
  const order = [...tabs.map((tab) => shell.mounted.get(tab.name).button)];
  order.forEach((button, place) => { if (list.children[place] !== button) list.insertBefore(button, list.children[place] ?? null); });
  if (!isComplete) list.append(h("span", { class: "waiting" }, tabs.length ? "…" : "Getting ready …"));
  const wanted = remembered("featurekit-tab");
  const first = tabs.find((tab) => tab.name === wanted) ?? (isComplete || tabs.length ? tabs[0] : null);
  if (first && (shell.active === null || (first.name === wanted && !shell.chosen))) show(first.name);
  for (const [name, why] of Object.entries(faults)) say(`${name}: ${why}`, true);
}

function addTab(tab) {
  const button = h("button", { type: "button", role: "tab", id: `tab-${tab.name}`, "aria-selected": "false", "aria-controls": `pane-${tab.name}`,
    tabIndex: -1, onclick: () => { shell.chosen = true; show(tab.name); } }, tab.title);
  const root = h("section", { class: "pane", id: `pane-${tab.name}`, role: "tabpanel", "aria-labelledby": button.id, hidden: true });
  $("tabs").append(button);
  $("panes").append(root);
  shell.mounted.set(tab.name, { root, button, studio: makeStudio(tab, { shell, say, upload, chooseFile }), ready: null });
}

export async function show(name) {
  const next = shell.mounted.get(name), before = shell.mounted.get(shell.active);
  if (!next || shell.active === name) return;
  if (before) {
    before.root.hidden = true;
    before.button.setAttribute("aria-selected", "false");
    before.button.tabIndex = -1;
    before.studio.hear("hidden");
  }
  shell.active = name;
  remember("featurekit-tab", name);
  next.root.hidden = false;
  next.button.setAttribute("aria-selected", "true");
  next.button.tabIndex = 0;
  if (!next.ready) {
    next.ready = import(`/tab/${name}/tab.js`).then((module) => module.mount(next.root, next.studio));
    try { await next.ready; } catch (error) {
      console.error(error);
      say(`The tab ${name} failed: ${error.message}`, true);
      next.root.append(h("p", { class: "error" }, `This tab failed: ${error.message}`));
    }
  }
  next.studio.hear("shown");
}

$("tabs").addEventListener("keydown", (event) => {
  const buttons = [...$("tabs").querySelectorAll("[role=tab]")], at = buttons.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
  if (at < 0 || to === undefined) return;
  const button = buttons[(to + buttons.length) % buttons.length];
  button.click();
  button.focus();
  event.preventDefault();
});

// work

function takeJob(job) {
  shell.jobs.set(job.id, job);
  drawJobs();
  tell("job", job, job.tab);
  const title = titleOf(job);
  if (job.status === "failed") say(job.line, true);
  else if (job.status === "done") say(job.line || `${title}: ${job.name} is done`);
  else if (job.status === "stopped") say(`${title}: ${job.name} was stopped`);
}

function titleOf(job) { return shell.tabs.find((tab) => tab.name === job.tab)?.title ?? job.tab; }

function drawJobs() {
  const all = [...shell.jobs.values()], running = all.find((job) => job.status === "running");
  const waiting = all.filter((job) => job.status === "waiting");
  $("job").hidden = !running;
  if (running) {
    const bar = $("job").querySelector("progress");
    $("job").querySelector(".job-name").textContent = running.stage || running.name;
    if (running.of) bar.value = running.done / running.of; else bar.removeAttribute("value");
    $("job").querySelector(".job-count").textContent = running.of ? `${running.done} of ${running.of}` : "";
    $("stop").onclick = () => send("DELETE", `/job/${running.id}`);
  }
  $("queue").textContent = waiting.length ? `${waiting.length} waiting` : "";
  drawWaiting(waiting);
}

/** A button for each of the next that wait, made anew only when these are others: none goes from under a pointer. */
function drawWaiting(waiting) {
  const next = waiting.slice(0, 3), ids = next.map((job) => job.id).join(" "), list = $("waiting");
  if (list.dataset.ids === ids) return;
  list.dataset.ids = ids;
  list.replaceChildren(...next.map((job) => {
    const name = `${titleOf(job)}: ${job.name}`;
    return h("button", { type: "button", class: "small", "aria-label": `Do not begin ${name}`, title: "Take it out of the queue",
      onclick: () => send("DELETE", `/job/${job.id}`) }, `${name} ×`);
  }));
}

function takeModel(model) {
  shell.model = model;
  const words = { waiting: "not loaded yet", loading: "is being loaded", ready: "is ready", failed: "cannot be loaded" };
  $("model").dataset.status = model.status;
  $("model").title = model.error;
  $("model").querySelector("span").textContent = `${model.name} ${words[model.status]}`;
  if (model.status === "failed") say(model.error, true);
  tell("model", model);
}

// keys

const KEYS = [
  ["o", "open a picture", open],
  ["c", "copy as Python", copyPython],
  ["d", "light or dark", changeTheme],
  ["?", "this help", help],
];
const SHOWN = [
  ["Ctrl+Z", "undo"], ["Ctrl+Shift+Z", "redo"], ["← ↑ → ↓", "on the picture: move the cursor, with Shift by 10 px, with Alt move the picture"],
  ["Enter", "on the picture: click at the cursor"], ["+ − 0", "on the picture: zoom in, zoom out, see all of it"],
  ["Space", "on the picture: hold it to move the picture with the pointer"],
];

addEventListener("keydown", (event) => {
  const studio = shell.mounted.get(shell.active)?.studio;
  const types = event.target.closest?.("input:not([type=range]):not([type=checkbox]), textarea, select, dialog[open]");
  if (types || event.defaultPrevented) return;
  const key = event.key.toLowerCase();
  if ((event.ctrlKey || event.metaKey) && (key === "z" || key === "y")) {
    event.preventDefault();
    const back = key === "z" && !event.shiftKey, label = back ? studio?.undo.undo() : studio?.undo.redo();
    say(label ? `${back ? "Undone" : "Done again"}: ${label}` : `Nothing to ${back ? "undo" : "do again"}`);
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey || (key.length === 1 && remembered("featurekit-keys") === "off" && key !== "?")) return;
  const found = [...(shell.current ? studio?.keys ?? [] : []), ...KEYS].find(([one]) => one.toLowerCase() === key);
  if (found) { event.preventDefault(); found[2](event); }
});

function help() {
  const list = (title, rows) => h("section", {}, h("h3", {}, title), h("dl", { class: "keys" },
    rows.flatMap(([key, does]) => [h("dt", {}, h("kbd", {}, key.length === 1 ? key.toUpperCase() : key)), h("dd", {}, does)])));
  const active = shell.mounted.get(shell.active), title = shell.tabs.find((tab) => tab.name === shell.active)?.title;
  const letters = h("input", { type: "checkbox", checked: remembered("featurekit-keys") !== "off",
    onchange: () => remember("featurekit-keys", letters.checked ? "on" : "off") });
  $("help-body").replaceChildren(active?.studio.keys.length ? list(title, active.studio.keys) : "", list("Everywhere", [...KEYS, ...SHOWN]),
    h("label", { class: "check" }, letters, "Single letters are keys"));
  $("help-dialog").showModal();
}

async function copyPython() {
  const text = shell.mounted.get(shell.active)?.studio.pythonText() ?? "";
  if (!text) { say("There is nothing to copy yet"); return; }
  $("python-text").textContent = text;
  $("python-note").textContent = "These lines give what you see.";
  if (!$("python-dialog").open) $("python-dialog").showModal(); // at once: a clipboard may take its time
  try {
    await navigator.clipboard.writeText(text);
    $("python-note").textContent = "Copied: these lines give what you see.";
  } catch { $("python-note").textContent = "Select and copy: these lines give what you see."; }
}

function changeTheme() {
  const now = document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = NEXT_THEME[now];
  remember("featurekit-theme", NEXT_THEME[now]);
  tell("theme", NEXT_THEME[now]);
}

function remember(name, value) { try { localStorage.setItem(name, value); } catch { /* storage may be off */ } }
function remembered(name) { try { return localStorage.getItem(name); } catch { return null; } }

// dropping and pasting

let over = 0;
const brings = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => { if (brings(event)) { over += 1; $("drop").hidden = false; } });
addEventListener("dragleave", (event) => { if (brings(event)) { over = Math.max(0, over - 1); $("drop").hidden = over === 0; } });
addEventListener("dragover", (event) => { if (brings(event)) event.preventDefault(); });
addEventListener("drop", (event) => {
  if (!brings(event)) return;
  event.preventDefault();
  over = 0;
  $("drop").hidden = true;
  const file = event.dataTransfer.files[0], place = event.target.closest?.("[data-takes-pictures]");
  if (!file) return;
  if (place) place.dispatchEvent(new CustomEvent("picture-dropped", { detail: file }));
  else upload(file);
});
addEventListener("paste", (event) => {
  const file = [...(event.clipboardData?.files ?? [])].find((one) => one.type.startsWith("image/"));
  if (file) upload(file);
});

// beginning

async function begin() {
  const state = await get("/state");
  takeModel(state.model);
  takePictures(state);
  takeTabs(state);
  for (const job of [...state.jobs].reverse()) { shell.jobs.set(job.id, job); tell("job", job, job.tab); }
  drawJobs();
  return state.event;
}

async function hear(event) {
  if (event.kind === "reset") await begin();
  else if (event.kind === "pictures") takePictures(event);
  else if (event.kind === "tabs") takeTabs(event);
  else if (event.kind === "job") takeJob(event.job);
  else if (event.kind === "model") takeModel(event);
  else if (event.kind === "told") tell("told", event, event.tab);
  else if (event.kind === "tab") tell("tab", event, event.tab);
}

$("open").onclick = $("choose").onclick = open;
$("example").onclick = async () => { say("Making the example …"); await send("POST", "/example"); say(""); };
$("python").onclick = copyPython;
$("theme").onclick = changeTheme;
$("help").onclick = help;
let away = false, heard = Promise.resolve();
// one event after another: what comes while the state is asked for anew is newer than that state
const inTurn = (event) => {
  heard = heard.then(() => hear(event)).catch((error) => { if (error instanceof Refused) say(error.message, true); else reportError(error); });
};
begin().then((after) => {
  listen(after, inTurn, (lost) => {
    if (lost && !away) say("The studio does not answer; what you made is kept", true);
    if (!lost && away) say("The studio is back");
    away = lost;
  });
  document.body.dataset.ready = "yes";
  if (parent !== window) parent.postMessage({ featurekit: "ready" }, "*"); // to a notebook that frames it; nothing but that
}, (error) => say(error.message, true));
