// icons of the tab, 16 x 16
import { icon as drawn } from "/shell/dom.js";

const PATHS = {
  pencil: "M2.6 13.4l.8-3.2 7.6-7.6a1.4 1.4 0 0 1 2 0l.4.4a1.4 1.4 0 0 1 0 2l-7.6 7.6zM9.6 4l2.4 2.4",
  fast: "M8.8 1.8 3.4 9h4.2l-.6 5.2L12.6 7H8.2z",
};

/** An icon by its name. */
export const icon = (name) => drawn(PATHS[name] ?? name);
