// undo and redo: each step says in words what it was, and how to go back and forth

const MOST = 300;

export class Undo {
  /** `changed` is called after every step, for buttons and for saving. */
  constructor(changed = () => {}) {
    this.past = [];
    this.future = [];
    this.changed = changed;
  }

  /** Note what was just done. `back` and `again` are functions; steps of one `kind` in a row are one step. */
  did(label, back, again, kind = null) {
    const last = this.past.at(-1);
    if (kind !== null && last?.kind === kind) last.again = again;
    else this.past.push({ label, back, again, kind });
    if (this.past.length > MOST) this.past.shift();
    this.future = [];
    this.changed();
  }

  /** Do it and note it. */
  do(label, again, back) {
    again();
    this.did(label, back, again);
  }

  /** End a row of steps that count as one. */
  settle() {
    const last = this.past.at(-1);
    if (last) last.kind = null;
  }

  undo() { return this.#go(this.past, this.future, "back"); }

  redo() { return this.#go(this.future, this.past, "again"); }

  clear() {
    this.past = [];
    this.future = [];
    this.changed();
  }

  get canUndo() { return this.past.at(-1)?.label ?? null; }

  get canRedo() { return this.future.at(-1)?.label ?? null; }

  #go(from, to, way) {
    const step = from.pop();
    if (!step) return null;
    step.kind = null;
    step[way]();
    to.push(step);
    this.changed();
    return step.label;
  }
}
