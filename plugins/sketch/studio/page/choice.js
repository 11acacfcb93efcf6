// what is chosen: styles with their shares, drawn by the student or not; a value that is replaced, so that undo keeps it

export const NONE = { styles: [], shares: [], student: true };
export const MOST = 4; // styles of a mix

/** Why nothing can be drawn in a style; empty where it can. */
export function hindrance(style) {
  if (!style) return "this style is gone";
  if (!style.fits) return style.why ?? "it was learnt on another model";
  return { ready: "", learning: "it is being learnt", stopped: "its learning was stopped" }[style.state] ?? style.why ?? "it is not learnt yet";
}

/** Whether its learning can be gone on with. */
export const goesOn = (style) => !style.bundled && style.fits && ["stopped", "not learnt"].includes(style.state);

/** One style alone. */
export const picked = (choice, id) => ({ ...choice, styles: [id], shares: [1] });

/** Take a style into the mix, with the share of one among equals, or out of it. */
export function joined(choice, id) {
  const at = choice.styles.indexOf(id);
  if (at >= 0) {
    if (choice.styles.length === 1) return choice;
    const left = (list) => list.filter((_, i) => i !== at);
    return { ...choice, styles: left(choice.styles), shares: whole(left(choice.shares)) };
  }
  if (choice.styles.length >= MOST) return choice;
  const styles = [...choice.styles, id], share = 1 / styles.length;
  return { ...choice, styles, shares: whole([...choice.shares.map((one) => one * (1 - share)), share]) };
}

/** Give a style of the mix a share; the others keep theirs in proportion. */
export function shared(choice, place, share) {
  const rest = choice.shares.reduce((sum, one, i) => (i === place ? sum : sum + one), 0), others = choice.shares.length - 1;
  const part = (one) => (rest > 0 ? (one / rest) * (1 - share) : (1 - share) / others);
  return { ...choice, shares: whole(choice.shares.map((one, i) => (i === place ? share : part(one))), place) };
}

/** Shares in hundredths that sum to one; the largest but `kept` takes what rounding left. */
function whole(shares, kept = -1) {
  const sum = shares.reduce((a, b) => a + b, 0) || 1;
  const parts = shares.map((one) => Math.round((100 * one) / sum));
  const most = parts.reduce((best, one, i) => (i !== kept && (best < 0 || one > parts[best]) ? i : best), -1);
  if (most >= 0) parts[most] += 100 - parts.reduce((a, b) => a + b, 0);
  return parts.map((one) => one / 100);
}

/** Without styles that are gone. */
export function known(choice, styles) {
  const there = choice.styles.map((id) => styles.some((one) => one.id === id));
  if (there.every(Boolean)) return choice;
  const left = (list) => list.filter((_, i) => there[i]);
  return { ...choice, styles: left(choice.styles), shares: left(choice.shares).length ? whole(left(choice.shares)) : [] };
}

/** The values that the server is asked by; null where nothing can be drawn. */
export function asked(choice, styles) {
  const records = choice.styles.map((id) => styles.find((one) => one.id === id));
  if (!records.length || records.some(hindrance)) return null;
  const used = choice.shares.map((share, i) => [choice.styles[i], share]).filter(([, share]) => share > 0);
  const [ids, shares] = [used.map(([id]) => id), used.map(([, share]) => share)];
  return { styles: ids, shares, student: choice.student && ids.length === 1 && records[choice.styles.indexOf(ids[0])].student };
}

export const same = (one, other) => Boolean(one && other) && one.student === other.student && one.styles.join() === other.styles.join()
  && one.shares.every((share, i) => Math.abs(share - other.shares[i]) < 1e-6);

/** In words: "Brush", or "Brush 60 %, Inline 40 %". */
export function inWords({ styles: ids, shares }, styles) {
  const title = (id) => styles.find((one) => one.id === id)?.title ?? id;
  return ids.length === 1 ? title(ids[0]) : ids.map((id, i) => `${title(id)} ${Math.round(100 * shares[i])} %`).join(", ");
}
