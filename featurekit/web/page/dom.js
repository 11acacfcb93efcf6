// small makers of elements, which the shell and the tabs share

/** Make an element: h("button", {class: "main", onclick: f}, "Apply"). Text is text, never markup. */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class") element.className = value;
    else if (name in element && !["list", "form", "role"].includes(name) && !name.startsWith("aria")) element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((one) => one !== null && one !== undefined && one !== false));
  return element;
}

// of the undo and save that every tab has
const ICONS = {
  undo: "M5.6 3.2 2.6 6.2l3 3M2.8 6.2h6.4a3.9 3.9 0 0 1 0 7.8H6",
  redo: "M10.4 3.2l3 3-3 3M13.2 6.2H6.8a3.9 3.9 0 0 0 0 7.8H10",
  save: "M8 2.4v7.4M5 7l3 3 3-3M2.8 12.8h10.4",
};

/** An icon, 16 x 16, stroked as the style of the page says: a name that every tab has, or the path of one's own. */
export function icon(path) {
  const [svg, stroke] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  stroke.setAttribute("d", ICONS[path] ?? path);
  svg.append(stroke);
  return svg;
}

let named = 0;

/** A slider with its label and its value: {label, min, max, step, value, show, oninput, onchange}. */
export function slider({ label, min, max, step = 1, value, show = String, oninput, onchange }) {
  const id = `slider-${++named}`;
  const output = h("output", { htmlFor: id }, show(value));
  const input = h("input", { type: "range", id, min, max, step, value,
    oninput: () => { output.value = show(+input.value); oninput?.(+input.value); },
    onchange: () => onchange?.(+input.value) });
  const root = h("div", { class: "field" }, h("label", { htmlFor: id }, label, output), input);
  return { root, input, get value() { return +input.value; },
    set value(now) { input.value = now; output.value = show(+input.value); } };
}

/** A list to choose from: {label, options: [[value, text], ...], value, onchange}. */
export function choice({ label, options, value, onchange }) {
  const id = `choice-${++named}`;
  const input = h("select", { id, onchange: () => onchange?.(input.value) });
  const fill = (list) => input.replaceChildren(...list.map(([one, text]) => h("option", { value: one }, text ?? one)));
  fill(options);
  if (value !== undefined) input.value = value;
  const root = h("div", { class: "field" }, h("label", { htmlFor: id }, label), input);
  return { root, input, fill, get value() { return input.value; }, set value(now) { input.value = now; } };
}

/** A few buttons of which one is pressed: {label, options: [[value, text], ...], value, onchange}. */
export function segments({ label, options, value, onchange }) {
  const buttons = options.map(([one, text]) => h("button", { type: "button", "aria-pressed": String(one === value),
    onclick: () => { set(one); onchange?.(one); } }, text));
  const root = h("div", { class: "segments", role: "group", "aria-label": label }, buttons);
  let now = value;
  function set(next) {
    now = next;
    buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(options[i][0] === next)));
  }
  return { root, get value() { return now; }, set value(next) { set(next); } };
}

/** Points as numbers, the twin of what the canvas shows. `points()` gives [{x, y, label}], `change(i, x, y)` is called
 *  when a person types; `remove(i)` where given makes a button. Call `show()` after the points changed. */
export function pointList({ label, points, change, remove }) {
  const root = h("ol", { class: "points", "aria-label": label });
  function show() {
    const now = points();
    while (root.children.length > now.length) root.lastChild.remove();
    now.forEach((point, i) => {
      let row = root.children[i];
      if (!row) {
        const input = (axis) => h("input", { type: "number", step: 1, class: axis,
          onchange: () => change(i, +row.querySelector(".x").value, +row.querySelector(".y").value) });
        row = h("li", {}, h("span", { class: "label" }), input("x"), input("y"),
          remove && h("button", { type: "button", class: "quiet icon", onclick: () => remove(i) }, "×"));
        root.append(row);
      }
      row.querySelector(".label").textContent = point.label ?? "";
      for (const axis of ["x", "y"]) {
        const field = row.querySelector(`.${axis}`);
        field.setAttribute("aria-label", `${point.label ?? label} ${i + 1}, ${axis} in pixels`);
        if (document.activeElement !== field) field.value = Math.round(point[axis] * 10) / 10;
      }
      row.querySelector("button")?.setAttribute("aria-label", `Remove ${point.label ?? label} ${i + 1}`);
    });
  }
  show();
  return { root, show };
}
