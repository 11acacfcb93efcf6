// what a tab is given: see docs/adding-a-plugin.md
import * as dom from "/shell/dom.js";
import * as canvas from "/shell/canvas.js";
import { send } from "/shell/wire.js";
import { Undo } from "/shell/undo.js";

const SAVE_MS = 400;

export function makeStudio(tab, { shell, say, upload, chooseFile }) {
  const heard = new Map();
  let python = () => "", waiting = null, timer = 0;

  function flush(keepalive = false) {
    clearTimeout(timer);
    if (waiting === null) return;
    const state = waiting;
    waiting = null;
    send("PUT", `/tab-state/${tab.name}`, state, null, { keepalive }).catch((error) => say(error.message, true));
  }
  addEventListener("pagehide", () => flush(true));

  return {
    name: tab.name,
    saved: tab.saved ?? null, // what save() kept, from this page or an earlier one
    keys: [], // [key, what it does, function]
    undo: new Undo(() => tellOwn("undo")),
    dom,
    canvas,

    get picture() { return shell.picture; }, // {id, name, width, height} or null
    get pictures() { return shell.pictures; },
    get model() { return shell.model; }, // {name, status, error}
    get jobs() { return [...shell.jobs.values()].filter((job) => job.tab === tab.name); },

    /** Hear "picture", "pictures", "model", "job", "told", "tab", "shown", "hidden", "theme", "undo". */
    on(kind, hear) {
      if (!heard.has(kind)) heard.set(kind, new Set());
      heard.get(kind).add(hear);
      return () => heard.get(kind).delete(hear);
    },
    hear: tellOwn,

    /** Ask an action of the tab; gives its values, and `parts` where it sent bytes. */
    act(action, values = {}, parts = null) { return send("POST", `/act/${tab.name}/${action}`, values, parts); },

    /** A function like act that has one request under way at most: of those asked meanwhile the latest is sent, and the
     *  others end as undefined. For what follows the pointer. */
    latest(action) {
      let busy = false, next = null;
      const run = async (values, parts) => {
        busy = true;
        try { return await send("POST", `/act/${tab.name}/${action}`, values, parts); } finally {
          busy = false;
          const now = next;
          next = null;
          if (now) run(now.values, now.parts).then(now.done, now.failed);
        }
      };
      return (values = {}, parts = null) => {
        if (!busy) return run(values, parts);
        next?.done(undefined);
        return new Promise((done, failed) => { next = { values, parts, done, failed }; });
      };
    },

    /** Start a job; gives its id at once. Hear "job" for where it stands. */
    async job(name, values = {}, parts = null) { return (await send("POST", `/job/${tab.name}/${name}`, values, parts)).id; },
    stop(id) { return send("DELETE", `/job/${id}`); },

    /** Give the server a picture; it goes on the desk unless select is false. Gives {id, name, width, height}. */
    upload(file, select = true) { return upload(file, select); },
    chooseFile,
    select(id) { return send("POST", `/select/${id}`); },
    pictureUrl(id, side = 2048) { return `/picture/${id}?side=${side}`; },

    /** Load a picture by its address, or by its id at a size. */
    async image(address, side = 2048) {
      const image = new Image();
      image.src = address.includes("/") || address.startsWith("data:") ? address : `/picture/${address}?side=${side}`;
      await image.decode();
      return image;
    },

    view(container, options) { return new canvas.View(container, options); },
    say,

    /** Keep a state (JSON) for the next page or server; sent a moment later, the latest wins. */
    save(state) {
      this.saved = state;
      waiting = state;
      clearTimeout(timer);
      timer = setTimeout(flush, SAVE_MS);
    },
    flush,

    key(key, does, run) { this.keys.push([key, does, run]); },

    /** Say what reproduces what is seen: a function that gives lines of Python. */
    python(text) { python = text; },
    pythonText() { return python(); },

    /** Save a file to the person's disk: an address of the server (/blob/...), or bytes. */
    download(from, name) {
      const address = typeof from === "string" ? `${from}${from.includes("?") ? "&" : "?"}save` : URL.createObjectURL(from);
      const link = dom.h("a", { href: address, download: name ?? "" });
      document.body.append(link);
      link.click();
      link.remove();
      if (typeof from !== "string") setTimeout(() => URL.revokeObjectURL(address), 10000);
    },
  };

  function tellOwn(kind, value) { for (const hear of heard.get(kind) ?? []) hear(value); }
}
