import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { STATIC } from "./helpers.mjs";

const { listKeys } = await import(new URL("keys.js", STATIC));

test("the guide lists the keys of the table", () => {
  const guide = readFileSync(new URL("../../../../docs/viewer.md", STATIC), "utf8");
  for (const { rows } of listKeys()) {
    for (const { keys, text } of rows) {
      const names = keys.length > 4 ? `\`${keys[0]}\` – \`${keys.at(-1)}\`` : keys.map((name) => `\`${name}\``).join(" ");
      assert.ok(guide.includes(`| ${names} | ${text} |`), `docs/viewer.md lacks: | ${names} | ${text} |`);
    }
  }
});
