// icons of the tools, 16 x 16, drawn as the shell's are
const PATHS = {
  drag: "M3.2 12.8 11.5 4.5M7.2 4H12V8.8M3.2 12.8h.01",
  pin: "M8 14.2V9.4M5 2.2h6M6.2 2.2v3.6L4.2 9.4h7.6L9.8 5.8V2.2",
  brush: "M13.6 2.4 7.4 8.6M7.4 8.6a2.4 2.4 0 0 0-3.2 2.3c0 1.2-.7 1.8-1.8 2 1.6 1.2 5.6 1.1 5.9-1.9.1-1-.3-1.8-.9-2.4z",
  erase: "M6.4 13.3H13M3 10.1l5.9-6.4a1.2 1.2 0 0 1 1.7 0l2.5 2.4a1.2 1.2 0 0 1 0 1.7l-5.2 5.5H6.2L3 11.8a1.2 1.2 0 0 1 0-1.7zM6 6.9l4.2 4.1",
  lasso: "M4.8 10.6C3.2 9.8 2.2 8.5 2.2 7c0-2.5 2.6-4.5 5.8-4.5s5.8 2 5.8 4.5-2.6 4.5-5.8 4.5c-.5 0-1 0-1.5-.1M4.8 10.6a1.1 1.1 0 1 0 1.7.8 1.1 1.1 0 0 0-1.7-.8zM5.4 12.4c0 .9-.4 1.5-1.3 2",
  region: "M2.6 8.6c0-3.2 2-5.6 5-5.6s4.2 1.6 4.2 4-1.8 5.9-5 5.9-4.2-1.9-4.2-4.3zM10.6 12.6h4M12.9 10.9l1.7 1.7-1.7 1.7",
  undo: "M5.6 3.2 2.6 6.2l3 3M2.8 6.2h6.4a3.9 3.9 0 0 1 0 7.8H6",
  redo: "M10.4 3.2l3 3-3 3M13.2 6.2H6.8a3.9 3.9 0 0 0 0 7.8H10",
  compare: "M8 2v12M2.6 4h3.2v8H2.6zM10.4 4h3v8h-3z",
  save: "M8 2.4v7.4M5 7l3 3 3-3M2.8 12.8h10.4",
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
