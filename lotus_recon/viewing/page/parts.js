// The parts of a page (meshes, clouds, images): in the page itself as base64, or from the local server.

const element = (name) => document.getElementById(`part-${name}`);

// Uint8Array of a part; gzip is undone.
export async function bytesOf(name, version) {
  const inside = element(name);
  if (!inside) return new Uint8Array(await (await fetched(name, version)).arrayBuffer());
  const data = decoded(inside.textContent);
  return inside.dataset.encoding === 'gzip' ? inflated(data) : data;
}

// An address for <img>, of a part that is an image.
export function addressOf(name, version) {
  const inside = element(name);
  return inside ? `data:${inside.dataset.media};base64,${inside.textContent.trim()}` : partAddress(name, version);
}

async function fetched(name, version) {
  const answer = await fetch(partAddress(name, version));
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${answer.statusText}`);
  return answer;
}

function partAddress(name, version) {
  return `parts/${encodeURIComponent(name)}?v=${encodeURIComponent(version ?? '')}`;
}

function decoded(base64) {
  const text = atob(base64.trim());
  const data = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) data[i] = text.charCodeAt(i);
  return data;
}

async function inflated(data) {
  const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}
