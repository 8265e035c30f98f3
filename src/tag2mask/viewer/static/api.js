// The server's answers. Every failure is an Error with one sentence; a stale version is a Stale.

import { readMaps } from "./maps.js";
import { decodePng, encodePng } from "./png.js";
import { Stale } from "./saving.js";

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(`/api/${path}`, { credentials: "same-origin", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer: is `tag2mask view` still running?");
  }
  if (response.status === 412) throw new Stale(response.headers.get("ETag"));
  if (!response.ok) throw new Error(await describe(response));
  return response;
}

async function describe(response) {
  const answer = await response.json().catch(() => ({}));
  return answer.error ?? `The server answered ${response.status}.`;
}

const json = async (path, options) => (await request(path, options)).json();

const post = (path, body, etag = null) =>
  request(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(etag ? { "If-Match": etag } : {}) },
    body: JSON.stringify(body),
  });

const postJson = async (...parts) => (await post(...parts)).json();

async function labels(response) {
  const bytes = new Uint8Array(await response.arrayBuffer());
  return { ...(await decodePng(bytes)), etag: response.headers.get("ETag") };
}

export const api = {
  about: () => json("about"),
  images: () => json("images"),
  ranking: () => json("ranking"),
  progress: () => json("progress"),
  thumb: (id, version) => `/api/thumb/${id}?v=${version}`,
  thumbMask: (record) => `/api/thumb-mask/${record.id}?etag=${encodeURIComponent(record.etag)}`,
  picture: (id, version) =>
    request(`image/${id}?v=${version}`).then(async (response) => createImageBitmap(await response.blob())),
  mask: async (id, which = "current", signal = undefined) =>
    labels(await request(`mask/${id}?which=${which}`, { signal })),
  superpixels: async (id, size, version) => labels(await request(`superpixels/${id}?size=${size}&v=${version}`)),

  async putMask(id, { width, height, data, touched }, etag) {
    const body = new FormData();
    body.append("mask", new Blob([await encodePng({ width, height, data })], { type: "image/png" }), "mask.png");
    body.append(
      "touched",
      new Blob([await encodePng({ width, height, data: touched })], { type: "image/png" }),
      "touched.png",
    );
    return json(`mask/${id}`, { method: "PUT", headers: { "If-Match": etag }, body });
  },

  setState: (id, state, etag) => postJson(`state/${id}`, { state }, etag),
  setTags: (id, tags, etag) => postJson(`tags/${id}`, { tags }, etag),

  async maps(id, { tags = "all", layer = null, head = null } = {}, signal = undefined) {
    const inside = (layer === null ? "" : `&layer=${layer}`) + (head === null ? "" : `&head=${head}`);
    return readMaps(await (await request(`maps/${id}?tags=${tags}${inside}`, { signal })).arrayBuffer());
  },

  setThreshold: (index, value) => postJson("threshold", { class: index, value }),
  job: (job) => json(`job/${job}`),
  spread: async (id, marks) => labels(await post(`spread/${id}`, { marks })),
  similar: (id, index, count = 8) => postJson(`similar/${id}`, { class: index, count }),
  proposal: async (id, index, from) => labels(await request(`proposal/${id}/${index}?from=${from}`)),
  confusion: (other) => json(`confusion?with=${other}`),
  confused: (row, column, other) => json(`confusion/${row}/${column}?with=${other}`),
};
