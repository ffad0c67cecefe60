// Checks GLB files with the Khronos validator; errors and warnings fail.
// Run: (cd /tmp && npm i gltf-validator) && NODE_PATH=/tmp/node_modules node tools/check_gltf.mjs FILE.glb...
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { validateBytes } = createRequire(import.meta.url)("gltf-validator");
let failed = false;
for (const path of process.argv.slice(2)) {
  const { issues, info } = await validateBytes(new Uint8Array(readFileSync(path)));
  failed ||= issues.numErrors + issues.numWarnings > 0;
  console.log(`${path}: ${issues.numErrors} errors, ${issues.numWarnings} warnings, ${issues.numInfos} infos, ${issues.numHints} hints, ${info.totalVertexCount} vertices`);
  for (const { severity, code, message, pointer } of issues.messages) {
    console.log(`  ${["error", "warning", "info", "hint"][severity]} ${code} ${pointer ?? ""}: ${message}`);
  }
}
process.exit(failed ? 1 : 0);
