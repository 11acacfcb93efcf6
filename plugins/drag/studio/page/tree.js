// the history as a tree: each step with its picture; branches run beside one another
const ROW_PX = 58, LANE_PX = 14, NAMES = { picture: "Start", edit: "Edit", choice: "Other candidate", accepted: "Gone on from" };

export function tree(h, tab) {
  const list = h("ol", { class: "drag-steps" });
  const root = h("section", { class: "group", id: "drag-history", "aria-label": "History" }, h("h2", {}, "History"), list);
  function show() {
    const { rows, lanes } = laidOut(tab.told);
    root.hidden = rows.length < 2;
    list.style.setProperty("--lanes", `${lanes * LANE_PX + 8}px`);
    list.replaceChildren(lines(rows, lanes), ...rows.map((row) => h("li", {}, h("button", { type: "button", class: "quiet", "aria-current": row.isNow ? "step" : null,
      onclick: () => tab.visit(row.number) }, h("img", { src: row.thumb, alt: "" }), h("span", {}, row.name)))));
    const now = list.querySelector("[aria-current]");
    if (now && rows.length > 5) list.scrollTop = now.offsetTop - list.clientHeight / 2;
  }
  return { root, show };
}

/** Rows in the order in which they were made, each with its lane and the row that it came from. */
export function laidOut(told) {
  const steps = told?.steps ?? [], by = new Map(steps.map((one) => [one.number, one]));
  const shown = (number) => { // masks are steps of the session, but none that a person would look for
    let one = by.get(number);
    while (one && one.kind === "mask" && by.has(one.before)) one = by.get(one.before);
    return one?.number;
  };
  const rows = [], at = new Map(), taken = new Set();
  let lanes = 0, edits = 0;
  for (const step of steps.filter((one) => one.kind !== "mask" || !by.has(one.before))) {
    const from = step.before === null ? undefined : at.get(shown(step.before));
    const goesOn = from && !taken.has(from.number);
    if (from) taken.add(from.number);
    const lane = goesOn ? from.lane : lanes++;
    if (step.kind === "edit") edits += 1;
    const row = { ...step, lane, from, place: rows.length, isNow: shown(told.now) === step.number, name: step.kind === "edit" ? `Edit ${edits}` : NAMES[step.kind] ?? "Start" };
    if (step.kind === "accepted" && from) row.name = `Went on from ${from.name.toLowerCase()}`;
    at.set(step.number, row);
    rows.push(row);
  }
  return { rows, lanes };
}

function lines(rows, lanes) {
  const make = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const x = (row) => row.lane * LANE_PX + 8, y = (row) => row.place * ROW_PX + ROW_PX / 2;
  const svg = make("svg", { class: "drag-lanes", "aria-hidden": "true", width: lanes * LANE_PX + 8, height: rows.length * ROW_PX });
  for (const row of rows.filter(({ from }) => from)) {
    const [a, b, c, d] = [x(row.from), y(row.from), x(row), y(row)];
    svg.append(make("path", { d: a === c ? `M${a} ${b}V${d}` : `M${a} ${b}V${d - ROW_PX}Q${a} ${d - ROW_PX / 2} ${c} ${d - ROW_PX / 2}V${d}` }));
  }
  for (const row of rows) svg.append(make("circle", { cx: x(row), cy: y(row), r: row.isNow ? 5 : 3.5, class: row.isNow ? "now" : "" }));
  const item = document.createElement("li");
  item.setAttribute("aria-hidden", "true");
  item.className = "drag-lines";
  item.append(svg);
  return item;
}
