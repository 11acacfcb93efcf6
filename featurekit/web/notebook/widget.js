// the studio in a notebook: its page in a frame, and a sentence where the page does not come
const PATIENCE_MS = 20000; // a server is there at once or never; a page may be slow

function render({ model, el }) {
  const address = model.get("address"), { origin, port } = new URL(address);
  const frame = document.createElement("iframe");
  Object.assign(frame, { src: address, title: "featurekit studio", allow: "clipboard-write; fullscreen" });
  Object.assign(frame.style, { width: "100%", border: "0", borderRadius: "8px", display: "block" });
  const note = document.createElement("p");
  note.hidden = true;
  note.setAttribute("role", "status");
  note.textContent = `The studio does not show: its page is at ${address}, on the machine where the kernel runs. `
    + `Where that is another machine, ssh -L ${port}:localhost:${port} to it, and run the cell again.`;
  const size = () => { frame.style.height = `${model.get("height")}px`; };
  const hear = (event) => {
    // of the framed page alone: whatever else is on this page may send messages too
    if (event.origin !== origin || event.source !== frame.contentWindow || event.data?.featurekit !== "ready") return;
    clearTimeout(waiting);
    note.hidden = true;
  };
  const waiting = setTimeout(() => { note.hidden = false; }, PATIENCE_MS);
  size();
  model.on("change:height", size);
  addEventListener("message", hear);
  el.append(frame, note);
  return () => {
    clearTimeout(waiting);
    removeEventListener("message", hear);
    model.off("change:height", size);
  };
}

export default { render };
