// Look: where else a feature is, how a tap looks, where a word is seen
import { heatCanvas, legend, overlay, range } from "/tab/look/heat.js";

const BEGIN = { mode: "match", point: null, other: null, tap: null, wordsTap: null, timestep: null, side: null, strength: 0.7,
  prompt: "", word: "" };

export async function mount(root, studio) {
  const { h, slider, choice, segments, pointList } = studio.dom;
  const { dot, colour } = studio.canvas;
  const state = { ...BEGIN, ...(studio.saved ?? {}) };
  let setup = null, python = "", match = null, turn = 0;

  // the stage

  const first = h("div", { style: "display:grid;min-width:0;min-height:0" }), second = h("div", { style: "display:grid;min-width:0;min-height:0" });
  const stage = h("div", { class: "stage" }, first);
  const view = studio.view(first, { label: "Picture to look into: a click asks where else its features are" });
  const otherView = studio.view(second, { label: "Second picture" });

  // the panel

  const mode = segments({ label: "What to look at", value: state.mode, options: [["match", "Match"], ["colours", "Colours"], ["words", "Words"]],
    onchange: (value) => change("what is looked at", { mode: value }) });
  const points = pointList({ label: "Point", points: () => (state.point ? [{ ...state.point, label: "Point" }] : []),
    change: (_, x, y) => change("the point", { point: within(x, y) }) });
  const hint = h("p", { class: "note" }, "Click on the picture, or press Enter at the cursor. Drag to explore.");
  const found = h("p", { class: "note", id: "look-found", hidden: true });
  const thumbs = h("div", { class: "thumbs" });
  const remove = h("button", { type: "button", class: "small", onclick: () => change("no second picture", { other: null }) }, "Remove");
  const others = h("section", { class: "group", "data-takes-pictures": "" },
    h("h3", {}, "Second picture", remove), thumbs);
  others.addEventListener("picture-dropped", ({ detail }) => takeOther(detail));
  const scale = legend(h);

  const prompt = h("input", { type: "text", id: "look-prompt", maxLength: 300, placeholder: "a face with a yellow shirt",
    onchange: () => change("the prompt", { prompt: prompt.value.trim(), word: words(prompt.value).includes(state.word) ? state.word : "" }) });
  const chips = h("div", { class: "row", role: "group", "aria-label": "Word" });
  const matchGroup = h("section", { class: "group" }, points.root, hint, found);
  const wordsGroup = h("section", { class: "group" }, h("div", { class: "field" }, h("label", { htmlFor: "look-prompt" }, "What the picture shows"), prompt),
    chips);
  const coloursGroup = h("section", { class: "group" }, h("p", { class: "note" }, "The three directions in which the features of this tap vary most, as red, green and blue."));

  const tap = choice({ label: "Tap", options: [], onchange: (value) => change("the tap", { [state.mode === "words" ? "wordsTap" : "tap"]: value }) });
  const timestep = slider({ label: "Timestep", min: 0, max: 999, value: 101, onchange: (value) => change("the timestep", { timestep: value }) });
  const side = slider({ label: "Read at", min: 0, max: 0, value: 0, show: (place) => `${setup?.sides[place] ?? "…"} px`,
    onchange: (place) => change("the size", { side: setup.sides[place] }) });
  const sideNote = h("p", { class: "faint small-text" });
  const strength = slider({ label: "Strength", min: 0, max: 100, value: 100 * state.strength, show: (value) => `${value} %`,
    oninput: (value) => { state.strength = value / 100; repaint(); }, onchange: () => studio.save(state) });
  const reading = h("section", { class: "group" }, h("h3", {}, "Reading"), tap.root, timestep.root, side.root, sideNote);
  const looks = h("section", { class: "group" }, strength.root, scale.root);
  const panel = h("aside", { class: "panel", "aria-label": "Look" }, mode.root, matchGroup, coloursGroup, wordsGroup, others, reading, looks);
  root.append(h("div", { class: "workbench" }, stage, panel));

  // what is shown now

  let here = null, there = null; // {cells, grid, smooth}
  function repaint() {
    const show = (one, on) => on.layer("heat", one && overlay(one.cells, one.grid, state.strength, one.smooth));
    show(here, view);
    show(there, otherView);
    view.layer("point", state.mode === "match" && state.point
      ? (context, at) => dot(context, at.toScreen(state.point.x, state.point.y), colour("--handle")) : null, 1);
    otherView.layer("match", state.mode === "match" && match
      ? (context, at) => dot(context, at.toScreen(match.x, match.y), colour("--target")) : null, 1);
  }

  function forget() {
    here = there = match = null;
    python = "";
    found.hidden = true;
    scale.hide();
    repaint();
  }

  function arrange() {
    const on = state.mode, two = on === "match" && state.other;
    mode.value = on;
    matchGroup.hidden = others.hidden = on !== "match";
    coloursGroup.hidden = on !== "colours";
    wordsGroup.hidden = on !== "words";
    stage.classList.toggle("two", Boolean(two));
    if (two && !second.isConnected) stage.append(second);
    if (!two) second.remove();
    points.root.hidden = !state.point;
    hint.hidden = Boolean(state.point);
    remove.hidden = !state.other;
    points.show();
    if (document.activeElement !== prompt) prompt.value = state.prompt; // never from under somebody who types
    chips.replaceChildren(...words(state.prompt).map((word) => h("button", { type: "button", class: "small", "aria-pressed": String(word === state.word),
      onclick: () => change("the word", { word }) }, word)));
    if (setup) arrangeReading();
    repaint();
  }

  function arrangeReading() {
    const option = (one) => h("option", { value: one.name }, one.name);
    const more = setup.taps.filter((one) => !setup.blocks.includes(one.name));
    if (state.mode === "words") tap.input.replaceChildren(...setup.words.map(option));
    else tap.input.replaceChildren(h("optgroup", { label: "Blocks" }, setup.taps.filter((one) => setup.blocks.includes(one.name)).map(option)),
      h("optgroup", { label: "All others" }, more.map(option)));
    tap.value = state.mode === "words" ? state.wordsTap : state.tap;
    timestep.input.max = setup.timesteps - 1;
    timestep.value = state.timestep;
    side.input.max = setup.sides.length - 1;
    side.value = Math.max(0, setup.sides.indexOf(state.side));
    side.root.hidden = setup.sides.length < 2;
    sideNote.textContent = state.side === setup.side ? "the size that the model was trained at" : `the model was trained at ${setup.side} px: larger shows more, and finds less`;
  }

  // changes, each of which can be undone

  function change(label, next) {
    const before = Object.fromEntries(Object.keys(next).map((name) => [name, state[name]]));
    const set = (values) => { Object.assign(state, values); settle(); };
    studio.undo.do(label, () => set(next), () => set(before));
  }

  function settle() {
    studio.save(state);
    arrange();
    return look();
  }

  function within(x, y) {
    const { width, height } = studio.picture;
    return { x: Math.min(Math.max(x, 0), width), y: Math.min(Math.max(y, 0), height) };
  }

  // asking

  const asks = { match: studio.latest("match"), colours: studio.latest("colours"), words: studio.latest("words") };
  async function look() {
    const now = ++turn, on = state.mode;
    const ready = studio.picture && setup && { match: state.point, colours: true, words: state.prompt && state.word }[on];
    if (!ready) { forget(); return; }
    const patience = setTimeout(() => view.caption("Reading …"), 150);
    const values = { id: studio.picture.id, tap: on === "words" ? state.wordsTap : state.tap, timestep: state.timestep, side: state.side };
    if (on === "match") Object.assign(values, state.point, { other: state.other });
    if (on === "words") Object.assign(values, { prompt: state.prompt, words: state.word });
    try {
      const answer = await asks[on](values);
      if (answer && now === turn) await { match: showMatch, colours: showColours, words: showWords }[on](answer);
    } catch (error) {
      if (now === turn) { forget(); studio.say(error.message, true); }
    } finally {
      clearTimeout(patience);
      if (now === turn) view.caption("");
    }
  }

  function showMatch(answer) {
    const mine = new Float32Array(answer.parts.here), theirs = answer.parts.there && new Float32Array(answer.parts.there);
    const ends = range(mine, theirs ?? []);
    here = { cells: heatCanvas(mine, answer.here, ends), grid: answer.here, smooth: true };
    there = theirs ? { cells: heatCanvas(theirs, answer.there, ends), grid: answer.there, smooth: true } : null;
    match = answer.match ?? null;
    found.hidden = !match;
    if (match) found.textContent = `Best match at ${match.x.toFixed(0)}, ${match.y.toFixed(0)}: cosine ${match.score.toFixed(2)}`;
    scale.show(ends);
    python = answer.python;
    repaint();
  }

  async function showColours(answer) {
    const cells = await createImageBitmap(new Blob([answer.parts.picture], { type: "image/png" }));
    here = { cells, grid: answer.grid, smooth: false };
    there = match = null;
    found.hidden = true;
    scale.hide();
    python = answer.python;
    repaint();
  }

  function showWords(answer) {
    const numbers = new Float32Array(answer.parts.here), ends = range(numbers);
    here = { cells: heatCanvas(numbers, answer.here, ends), grid: answer.here, smooth: true };
    there = match = null;
    found.hidden = true;
    scale.show(ends);
    python = answer.python;
    repaint();
  }

  // pictures

  async function takeOther(file) {
    const picture = await studio.upload(file, false);
    change("the second picture", { other: picture.id });
  }

  function showShelf() {
    const rest = studio.pictures.filter((one) => one.id !== studio.picture?.id);
    thumbs.replaceChildren(...rest.slice(0, 7).map((one) => h("button", { type: "button", title: one.name, "aria-label": `Second picture: ${one.name}`,
      "aria-pressed": String(one.id === state.other), onclick: () => change("the second picture", { other: one.id }) },
      h("img", { src: studio.pictureUrl(one.id, 160), alt: "" }))),
    h("button", { type: "button", "aria-label": "Choose a second picture", title: "Choose a second picture (2)", onclick: choose }, "+"));
  }
  async function choose() {
    const file = await studio.chooseFile();
    if (file) await takeOther(file);
  }

  async function showPictures() {
    const picture = studio.picture;
    if (!picture) return;
    if (state.other && !studio.pictures.some((one) => one.id === state.other)) state.other = null;
    if (state.point) state.point = within(state.point.x, state.point.y);
    arrange();
    showShelf();
    view.setPicture(await studio.image(picture.id), picture.width, picture.height);
    await showOther();
  }
  let shownOther = null;
  async function showOther() {
    const other = studio.pictures.find((one) => one.id === state.other);
    showShelf();
    if (other && shownOther !== other.id) {
      shownOther = other.id;
      otherView.setPicture(await studio.image(other.id), other.width, other.height);
    }
  }

  // hearing

  let pressed = null;
  view.on("down", (at) => {
    if (state.mode !== "match" || !at.inside) return;
    pressed = { before: state.point };
    follow(at);
  });
  view.on("move", (at) => { if (pressed) follow(at); });
  view.on("up", () => {
    if (!pressed) return;
    const { before } = pressed, after = state.point;
    pressed = null;
    const set = (point) => { state.point = point; settle(); };
    studio.undo.did("the point", () => set(before), () => set(after));
    studio.save(state);
  });
  view.on("tap", (at) => { if (at.key && state.mode === "match") change("the point", { point: within(at.x, at.y) }); });
  function follow(at) {
    state.point = within(Math.round(at.x * 10) / 10, Math.round(at.y * 10) / 10);
    arrange();
    look();
  }

  studio.on("picture", async () => { forget(); await showPictures(); await look(); });
  studio.on("pictures", showOther);
  studio.on("theme", repaint);
  studio.on("undo", showOther);
  studio.key("1", "where else a point is", () => change("what is looked at", { mode: "match" }));
  studio.key("2", "a second picture", choose);
  studio.key("3", "colours of a tap", () => change("what is looked at", { mode: "colours" }));
  studio.key("4", "where a word is seen", () => change("what is looked at", { mode: "words" }));
  studio.python(() => python);

  reading.hidden = true; // until the model says what can be read
  await showPictures();
  try {
    setup = await studio.act("setup");
  } catch (error) {
    panel.append(h("p", { class: "error" }, error.message));
    return;
  }
  reading.hidden = false;
  const known = (name, list) => list.some((one) => one.name === name);
  if (!known(state.tap, setup.taps)) state.tap = setup.tap;
  if (!known(state.wordsTap, setup.words)) state.wordsTap = setup.word;
  if (!(state.timestep >= 0 && state.timestep < setup.timesteps) || state.timestep === null) state.timestep = setup.timestep;
  if (!setup.sides.includes(state.side)) state.side = setup.side;
  if (!setup.words.length) mode.root.lastChild.hidden = true;
  arrange();
  await look();
}

function words(prompt) { return [...new Set(prompt.toLowerCase().match(/[\p{L}\p{N}'-]+/gu) ?? [])]; }
