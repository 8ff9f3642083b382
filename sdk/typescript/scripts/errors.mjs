// Writes src/codes.ts from the table in spec/errors.md. With --check it writes nothing and fails when they differ.
import { readFileSync, writeFileSync } from "node:fs";

const TABLE = new URL("../../../spec/errors.md", import.meta.url);
const TARGET = new URL("../src/codes.ts", import.meta.url);

/** The words of the column "retry?" and what the SDK calls them. */
const RETRY = { "": "no", no: "no", yes: "yes", maybe: "maybe", resume: "resume", "after `retry_after_ms`": "yes" };

/** Rows of the table: code, name, retry, meaning. */
function parse(markdown) {
  const rows = [...markdown.matchAll(/^\| *(\d+) *\| *([A-Z_]+) *\| *(.*?) *\| *(.*?) *\|$/gm)];
  return rows.map(([, code, name, retry, meaning]) => {
    if (!(retry in RETRY)) throw new Error(`${name}: no such retry word: ${retry}`);
    return { code: Number(code), name, retry: RETRY[retry], meaning };
  });
}

function render(rows) {
  const codes = rows.map(({ code, name, meaning }) => `${meaning ? `  /** ${meaning} */\n` : ""}  ${name}: ${code},\n`);
  const retries = rows.filter(({ retry }) => retry !== "no").map(({ code, retry }) => `  ${code}: "${retry}",\n`);
  return `// Generated from spec/errors.md by \`npm run errors\`. Do not edit.

/** Error codes of the framework. Applications use 1000 and up. */
export const Code = {
${codes.join("")}} as const;

/** Codes whose retry is not "no". */
export const RETRY: { readonly [code: number]: "yes" | "maybe" | "resume" } = {
${retries.join("")}};
`;
}

const rows = parse(readFileSync(TABLE, "utf8"));
if (rows.length < 30) throw new Error(`only ${rows.length} rows found in spec/errors.md`);
const text = render(rows);
if (!process.argv.includes("--check")) {
  writeFileSync(TARGET, text);
} else if (readFileSync(TARGET, "utf8") !== text) {
  console.error("src/codes.ts does not match spec/errors.md: npm run errors");
  process.exit(1);
}
