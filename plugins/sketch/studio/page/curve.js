// the loss while a style is learnt: a small curve, on a logarithmic scale

const WIDE = 240, TALL = 56, EDGE = 3, FEWEST = 2;

const make = (tag, attributes) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

export function curve() {
  const line = make("polyline", { class: "sketch-line" }), end = make("circle", { r: 3, class: "sketch-end" });
  const root = make("svg", { class: "sketch-curve", viewBox: `0 0 ${WIDE} ${TALL}`, role: "img", "aria-label": "Loss" });
  root.append(line, end);
  /** Show points {iteration, loss} of a course of `of` iterations. */
  function show(points, of) {
    root.toggleAttribute("hidden", points.length < FEWEST);
    if (points.length < FEWEST) return;
    const logs = points.map(({ loss }) => Math.log(Math.max(loss, 1e-9)));
    const low = Math.min(...logs), span = Math.max(Math.max(...logs) - low, 1e-6);
    const at = points.map(({ iteration }, i) => [EDGE + ((WIDE - 2 * EDGE) * iteration) / Math.max(of, 1),
      TALL - EDGE - ((TALL - 2 * EDGE) * (logs[i] - low)) / span]);
    line.setAttribute("points", at.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join(" "));
    end.setAttribute("cx", at.at(-1)[0]);
    end.setAttribute("cy", at.at(-1)[1]);
    root.setAttribute("aria-label", `Loss: ${points[0].loss.toPrecision(3)} at the beginning, ${points.at(-1).loss.toPrecision(3)} now`);
  }
  show([], 1);
  return { root, show };
}
