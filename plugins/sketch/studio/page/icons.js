// icons of the tab, 16 x 16, drawn as the shell's are
const PATHS = {
  undo: "M5.6 3.2 2.6 6.2l3 3M2.8 6.2h6.4a3.9 3.9 0 0 1 0 7.8H6",
  redo: "M10.4 3.2l3 3-3 3M13.2 6.2H6.8a3.9 3.9 0 0 0 0 7.8H10",
  save: "M8 2.4v7.4M5 7l3 3 3-3M2.8 12.8h10.4",
  pencil: "M2.6 13.4l.8-3.2 7.6-7.6a1.4 1.4 0 0 1 2 0l.4.4a1.4 1.4 0 0 1 0 2l-7.6 7.6zM9.6 4l2.4 2.4",
  fast: "M8.8 1.8 3.4 9h4.2l-.6 5.2L12.6 7H8.2z",
};

/** An icon by its name. */
export function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}
