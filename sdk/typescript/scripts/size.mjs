// Prints what the SDK adds to a page, minified and compressed, and fails above the limit.
import { build } from "esbuild";
import { gzipSync } from "node:zlib";

const LIMIT = 25 * 1024;
const root = new URL("..", import.meta.url).pathname;

async function size(contents) {
  const options = { bundle: true, minify: true, format: "esm", target: "es2022", write: false, treeShaking: true };
  const result = await build({ ...options, stdin: { contents, resolveDir: root } });
  const [{ contents: code }] = result.outputFiles;
  return { minified: code.length, compressed: gzipSync(code, { level: 9 }).length };
}

const show = (what, { minified, compressed }) => console.log(`${what}: ${minified} bytes, ${compressed} gzipped`);

const sdk = await size(`export * from "./dist/index.js";`);
show("SDK with the part of @bufbuild/protobuf that it uses", sdk);
show("the same with what protobuf-es schemas need at run time", await size(`
  export * from "./dist/index.js"; export { enumDesc, fileDesc, messageDesc } from "@bufbuild/protobuf/codegenv2";`));

if (sdk.compressed > LIMIT) {
  console.error(`over the limit of ${LIMIT} bytes`);
  process.exit(1);
}
