import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { BbqError, Code, codeName } from "../dist/errors.js";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

test("the codes are those of the specification", () => {
  execFileSync(process.execPath, [path("../scripts/errors.mjs"), "--check"]);
  assert.equal(Code.SESSION_EXPIRED, 51);
});

test("an error knows its name and whether a retry helps", () => {
  const busy = new BbqError(Code.BUSY, "full", 20);
  assert.deepEqual([busy.name, busy.retryable, busy.retryAfterMs, String(busy)], ["BUSY", true, 20, "BUSY: full"]);
  assert.equal(new BbqError(Code.RESOURCE_EXHAUSTED, "").retryable, true);
  assert.deepEqual([new BbqError(Code.OUTCOME_UNKNOWN, "").retry, new BbqError(Code.OUTCOME_UNKNOWN, "").retryable], ["maybe", false]);
  assert.deepEqual([codeName(1234), codeName(99)], ["APPLICATION", "UNASSIGNED"]);
  assert.equal(BbqError.from(busy), busy);
  assert.equal(BbqError.from(new TypeError("x")).code, Code.UNKNOWN);
});

test("the lock file names no registry", () => {
  assert.doesNotMatch(readFileSync(path("../package-lock.json"), "utf8"), /"resolved"/);
});

test("the bundle is small enough", () => {
  assert.match(execFileSync(process.execPath, [path("../scripts/size.mjs")], { encoding: "utf8" }), /gzipped/);
});
