// Makes my-policy.wasm of policy.js. Every WASI feature is off: a policy may import the contract's `host` and nothing else.
import { componentize } from "@bytecodealliance/componentize-js";
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

const here = (file) => fileURLToPath(new URL(file, import.meta.url));

const { component } = await componentize({
  sourcePath: here("policy.js"),
  witPath: here("wit"),
  worldName: "scheduling-policy",
  disableFeatures: ["clocks", "fetch-event", "http", "random", "stdio"],
});
await writeFile(here("my-policy.wasm"), component);
console.log(`my-policy.wasm: ${component.length} bytes`);
