import assert from "node:assert/strict";
import { test } from "node:test";
import { STATIC } from "./helpers.mjs";

const { decodePng, encodePng } = await import(new URL("png.js", STATIC));
const random = (length, most, Kind) => Kind.from({ length }, (_, i) => (i * 7919 + (i % 13) * 131) % most);

for (const [Kind, most] of [[Uint8Array, 256], [Uint16Array, 65536]]) {
  test(`a mask of ${Kind.name} survives writing and reading`, async () => {
    const image = { width: 37, height: 23, data: random(37 * 23, most, Kind) };
    assert.deepEqual(await decodePng(await encodePng(image)), image);
  });
}

test("Pillow's files are read, with every filter and a palette", async () => {
  for (const { png, width, data } of JSON.parse(process.env.PILLOW_FILES ?? "[]")) {
    const image = await decodePng(Uint8Array.from(Buffer.from(png, "base64")));
    assert.equal(image.width, width);
    assert.deepEqual([...image.data], data);
  }
});

test("what is not a PNG of masks is refused", async () => {
  await assert.rejects(decodePng(new Uint8Array(20)), /not a PNG/);
  const whole = await encodePng({ width: 4, height: 4, data: new Uint8Array(16) });
  await assert.rejects(decodePng(whole.subarray(0, 50)), /cut short/);
  const colour = whole.slice();
  colour[25] = 2;
  await assert.rejects(decodePng(colour), /colour type 2/);
});
