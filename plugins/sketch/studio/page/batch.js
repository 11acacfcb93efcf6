// pictures that are drawn one after another, into one ZIP

const LETTERS = 100;

export class Folder {
  constructor(tab, saved) { Object.assign(this, { tab, files: [], done: 0, drawn: {}, notes: [], adding: "", svg: saved.svg ?? false }); }

  get kept() { return { svg: this.svg }; }

  know(told) { if (told && !this.adding) Object.assign(this, { files: told.files, done: told.done }); }

  besides(svg) {
    this.svg = svg;
    this.tab.saves();
  }

  async take(files) {
    const { tab } = this, pictures = files.filter((file) => file.type.startsWith("image/")), left = files.length - pictures.length;
    const notes = left ? [left === 1 ? "1 file is no picture." : `${left} files are no pictures.`] : [];
    for (const [i, file] of pictures.entries()) {
      this.adding = `Adding ${i + 1} of ${pictures.length}`;
      tab.show();
      try {
        const answer = await tab.studio.act("batch", { name: file.name.slice(-LETTERS) }, { file });
        Object.assign(this, { files: answer.files, done: 0 });
        if (answer.refused) notes.push(answer.refused);
      } catch (error) { notes.push(`${file.name}: ${error.message}`); }
    }
    Object.assign(this, { adding: "", notes, drawn: {} });
    tab.show();
  }

  async draw() {
    Object.assign(this, { drawn: {}, notes: [] });
    await this.tab.studio.job("batch", { ...this.tab.asked(), svg: this.svg });
  }

  async empty() {
    await this.tab.studio.act("unbatch");
    Object.assign(this, { files: [], done: 0, drawn: {}, notes: [] });
    this.tab.show();
  }

  hear({ name, picture }) { if (picture) this.drawn = { ...this.drawn, [name]: picture }; }

  async ended(job) {
    this.notes = job.status === "failed" ? [job.line] : job.result?.skipped ?? [];
    await this.tab.tell();
  }
}
