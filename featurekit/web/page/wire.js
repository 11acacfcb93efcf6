// speaking with the server: JSON, JSON with bytes, events

const OURS = "application/x-featurekit";

/** What the server refused; its message is a sentence for the person. */
export class Refused extends Error {
  constructor(message, status) {
    super(message);
    this.name = "Refused";
    this.status = status;
  }
}

async function checked(asking) {
  let answer;
  try { answer = await asking; } catch { throw new Refused("The studio does not answer; is it still running?", 0); }
  if (answer.ok) return answer;
  let sentence = `the studio answered ${answer.status}`;
  try { sentence = (await answer.json()).error ?? sentence; } catch { /* no JSON */ }
  throw new Refused(sentence[0].toUpperCase() + sentence.slice(1), answer.status);
}

export async function get(address) { return (await checked(fetch(address))).json(); }

/** Send JSON, with `parts` (blobs, buffers, typed arrays by name) as bytes beside it; gives JSON and its parts. */
export async function send(method, address, values = {}, parts = null, options = {}) {
  const [body, type] = parts && Object.keys(parts).length ? await packed(values, parts) : [JSON.stringify(values), "application/json"];
  const answer = await checked(fetch(address, { method, body, headers: { "content-type": type }, ...options }));
  return answer.headers.get("content-type")?.startsWith(OURS) ? unpacked(await answer.arrayBuffer()) : answer.json();
}

export async function putPicture(file, select) {
  const headers = { "x-picture-name": encodeURIComponent((file.name ?? "picture").slice(0, 100)), "content-type": "application/octet-stream" };
  const answer = await checked(fetch(`/picture?select=${select}`, { method: "PUT", body: file, headers }));
  return (await answer.json()).picture;
}

async function packed(values, parts) {
  const blobs = Object.entries(parts).map(([name, part]) => [name, part instanceof Blob ? part : new Blob([part])]);
  const head = new TextEncoder().encode(JSON.stringify({ values, parts: blobs.map(([name, blob]) => [name, blob.size]) }));
  const length = new DataView(new ArrayBuffer(4));
  length.setUint32(0, head.length, true);
  return [new Blob([length, head, ...blobs.map(([, blob]) => blob)]), OURS];
}

function unpacked(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const parts = {};
  let start = 4 + length;
  for (const [name, size] of head.parts) {
    parts[name] = buffer.slice(start, start + size);
    start += size;
  }
  return { ...head.values, parts };
}

/** Hear events from `after` on; the browser comes back by itself, and catches up. */
export function listen(after, hear, lost) {
  const source = new EventSource(`/events?after=${encodeURIComponent(after)}`);
  source.onmessage = (message) => hear(JSON.parse(message.data));
  source.onerror = () => lost(true);
  source.onopen = () => lost(false);
  return source;
}
