#!/usr/bin/env node
import { existsSync, readFileSync } from "node:fs";

const program = new URL("../../dist/deploy/cli/main.js", import.meta.url);
if (existsSync(program)) {
  const { main } = await import(program.href);
  const { version } = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  // A reader that has seen enough, such as `head`, is no fault.
  process.stdout.on("error", (error) => {
    if (error.code !== "EPIPE") throw error;
  });
  const { stdout, stderr } = process;
  process.exitCode = await main(process.argv.slice(2), {
    stdout,
    stderr,
    cwd: process.cwd(),
    version,
  });
} else {
  process.stderr.write("isthmus: not built yet; run `npm run build` first\n");
  process.exitCode = 2;
}
