// Writes `dist` from `src`: the same bytes every time, because they are committed and embedded.
// `--tests` bundles the tests to `test-dist` instead.
import { copyFile, mkdir, readdir, rm } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const tests = process.argv.includes("--tests");
const out = here(tests ? "test-dist" : "dist");

await rm(out, { recursive: true, force: true });
await mkdir(out);

// The SDK would find its own copy of the protobuf runtime, if it happens to be installed there.
const oneRuntime = {
  name: "one-runtime",
  setup(build) {
    build.onResolve({ filter: /^@bufbuild\/protobuf/ }, ({ path }) => {
      const part = path.slice("@bufbuild/protobuf".length);
      return { path: here(`node_modules/@bufbuild/protobuf/dist/esm${part}/index.js`), sideEffects: false };
    });
  },
};

const common = {
  bundle: true,
  outdir: out,
  format: "esm",
  legalComments: "none",
  logLevel: "warning",
  // The sources of the SDK, so that it need not be built first.
  alias: { gobbq: here("../../../sdk/typescript/src/index.ts") },
  plugins: [oneRuntime],
};

if (tests) {
  const names = (await readdir(here("test"))).filter((name) => name.endsWith(".test.ts"));
  const entryPoints = names.map((name) => here(`test/${name}`));
  await build({ ...common, entryPoints, platform: "node", outExtension: { ".js": ".mjs" } });
} else {
  const scripts = ["index", "arena", "chat"].map((name) => ({ in: here(`src/${name}/main.ts`), out: name }));
  await build({ ...common, entryPoints: scripts, minify: true, target: "es2022" });
  await build({ ...common, entryPoints: [here("src/style.css")], minify: true });
  for (const page of ["index", "arena", "chat"]) await copyFile(here(`src/${page}.html`), `${out}/${page}.html`);
}
