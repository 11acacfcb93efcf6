export function mount(root, studio) {
  const { h } = studio.dom;
  const stage = h("div", { class: "stage" });
  root.append(h("div", { class: "workbench" }, stage, h("aside", { class: "panel" }, h("h2", {}, "Look"))));
  const view = studio.view(stage, { label: "picture" });
  async function show() {
    const picture = studio.picture;
    if (picture) view.setPicture(await studio.image(picture.id), picture.width, picture.height);
  }
  studio.on("picture", show);
  show();
}
