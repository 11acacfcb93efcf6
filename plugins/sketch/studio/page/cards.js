// the styles: cards to pick one or to mix several, the shares of a mix, and what can be done with the one that is picked
import { goesOn, hindrance, MOST } from "./choice.js";
import { icon } from "./icons.js";

export function cards(h, dom, tab) {
  const mix = h("button", { type: "button", class: "small", id: "sketch-mix", title: "Pick several styles (M)", onclick: () => tab.mixes(!tab.isMixing) }, "Mix");
  const list = h("div", { class: "sketch-styles", role: "group", "aria-label": "Style" });
  const why = h("p", { class: "note", id: "sketch-why" });
  const shares = h("div", { class: "group", id: "sketch-shares" });
  const fast = h("input", { type: "checkbox", id: "sketch-fast", onchange: () => tab.byStudent(fast.checked) });
  const quick = h("label", { class: "check" }, fast, "Fast: drawn by its student");
  const root = h("section", { class: "group", "aria-label": "Styles" }, h("h2", {}, "Style", mix), list, why, shares, quick);
  const sliders = new Map();

  function card(style) {
    const at = tab.choice.styles.indexOf(style.id), reason = hindrance(style);
    const busy = style.state !== "ready" && style.of > 0;
    const bar = busy && h("span", { class: "meter" }, h("i"));
    if (bar) bar.firstChild.style.width = `${(100 * style.done) / style.of}%`;
    const words = [style.title, style.student && style.state === "ready" ? "fast" : "", busy ? `${style.state}, ${style.done} of ${style.of}` : reason].filter(Boolean);
    return h("button", { type: "button", class: "sketch-style", "data-style": style.id, "aria-pressed": String(at >= 0), "aria-label": words.join(", "),
      "aria-disabled": reason && style.state === "ready" ? "true" : null, title: words.join(", "), onclick: (event) => tab.pick(style.id, event.shiftKey) },
    h("span", { class: "sketch-thumb" }, style.thumb ? h("img", { src: style.thumb, alt: "" }) : h("span", { class: "sketch-blank" }, icon("pencil")), bar),
    h("span", { class: "sketch-name" }, style.title, style.student && style.state === "ready" && icon("fast")));
  }

  function showShares() {
    const { styles: ids, shares: now } = tab.choice;
    shares.hidden = ids.length < 2;
    if (shares.hidden) { shares.replaceChildren(); sliders.clear(); return; }
    const title = (id) => tab.styles.find((one) => one.id === id)?.title ?? id;
    const wanted = ids.map((id) => {
      if (!sliders.has(id)) {
        sliders.set(id, dom.slider({ label: title(id), min: 0, max: 100, value: 0, show: (value) => `${value} %`,
          oninput: (value) => tab.share(tab.choice.styles.indexOf(id), value / 100, true), onchange: (value) => tab.share(tab.choice.styles.indexOf(id), value / 100, false) }));
      }
      return sliders.get(id);
    });
    wanted.forEach((one, i) => { one.value = Math.round(100 * now[i]); });
    const roots = wanted.map((one) => one.root);
    if (roots.length !== shares.children.length || roots.some((one, i) => shares.children[i] !== one)) shares.replaceChildren(...roots);
  }

  let drawn = "";
  function show() {
    const now = JSON.stringify([tab.styles, tab.choice.styles, tab.isMixing]); // kept where nothing changed, with the focus
    if (now !== drawn) {
      drawn = now;
      const focused = list.contains(document.activeElement) ? document.activeElement.dataset.style : null;
      list.replaceChildren(...tab.styles.map(card));
      if (focused) [...list.children].find((one) => one.dataset.style === focused)?.focus();
    }
    mix.setAttribute("aria-pressed", String(tab.isMixing));
    mix.hidden = tab.styles.filter((style) => !hindrance(style)).length < 2;
    const reasons = tab.styles.filter((style) => !style.fits).map((style) => [style.title, hindrance(style)]);
    const full = tab.isMixing && tab.choice.styles.length >= MOST;
    why.textContent = full ? `A mix has ${MOST} styles at most.` : reasons.length ? said(reasons) : tab.isMixing && tab.choice.styles.length < 2 ? "Pick another style to mix in." : "";
    why.hidden = !why.textContent;
    const only = tab.choice.styles.length === 1 && tab.styles.find((one) => one.id === tab.choice.styles[0]);
    quick.hidden = !only || !only.student || Boolean(hindrance(only));
    fast.checked = tab.choice.student;
    showShares();
  }
  return { root, show };
}

/** Reasons with the styles that they hold for, each once. */
function said(reasons) {
  const by = new Map();
  for (const [title, reason] of reasons) by.set(reason, [...(by.get(reason) ?? []), title]);
  return [...by].map(([reason, titles]) => `${titles.join(", ")}: ${reason}`).join(". ");
}

/** Build what can be done with the style that is picked. */
export function about(h, tab) {
  const title = h("input", { type: "text", id: "sketch-title", maxLength: 60, "aria-label": "Rename the style", onchange: () => tab.rename(title.value.trim()) });
  const notes = h("ul", { class: "sketch-notes small-text" });
  const goOn = h("button", { type: "button", class: "main", id: "sketch-go-on", onclick: () => tab.teaching.goOn() }, "Go on learning");
  const distil = h("button", { type: "button", class: "small", id: "sketch-distil", title: "A small network learns to draw like this style, many times faster", onclick: () => tab.teaching.distil() },
    icon("fast"), "Make it fast");
  const remove = h("button", { type: "button", class: "small", id: "sketch-remove", onblur: () => asks(false), onclick: () => (remove.dataset.asks ? tab.remove() : asks(true)) }, "Remove");
  const root = h("section", { class: "group", id: "sketch-about", "aria-label": "The style that is picked" }, h("div", { class: "row sketch-own" }, title, remove), notes, h("div", { class: "row" }, goOn, distil));

  function asks(now) {
    if (now) remove.dataset.asks = "yes"; else delete remove.dataset.asks;
    remove.textContent = now ? "Remove for good" : "Remove";
  }
  function show() {
    const style = tab.choice.styles.length === 1 ? tab.styles.find((one) => one.id === tab.choice.styles[0]) : null, busy = tab.isBusy("learn") || tab.isBusy("distil");
    const own = style && !style.bundled;
    goOn.hidden = !style || !goesOn(style);
    distil.hidden = !own || Boolean(hindrance(style)) || style.student;
    goOn.disabled = distil.disabled = busy || tab.studio.model.status !== "ready";
    title.parentElement.hidden = !own;
    if (own && document.activeElement !== title) title.value = style.title;
    remove.disabled = style?.state === "learning";
    const lines = style ? [...(own ? style.mended ?? [] : []), style.state === "stopped" ? `Stopped at ${style.done} of ${style.of}; nothing is lost.` : ""].filter(Boolean) : [];
    notes.replaceChildren(...lines.map((line) => h("li", {}, sentence(line))));
    notes.hidden = !lines.length;
    root.hidden = !style || (goOn.hidden && distil.hidden && !own && !lines.length);
  }
  return { root, show };
}

export const sentence = (words) => (words ? words[0].toUpperCase() + words.slice(1) : "");
