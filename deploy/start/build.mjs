// Makes node_modules fit package-lock.json, and dist/ fit the sources.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT, bin, run, say } from "./ground.mjs";

/** Why node_modules does not fit the lock file, or undefined when it does. */
function staleness() {
  const installedFile = join(ROOT, "node_modules", ".package-lock.json");
  if (!existsSync(installedFile)) return "node_modules is missing";
  const installed = JSON.parse(readFileSync(installedFile, "utf8")).packages;
  const locked = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")).packages;
  for (const [path, entry] of Object.entries(locked)) {
    // A package of another platform is locked but never installed.
    if (path === "" || (entry.optional && !(path in installed))) continue;
    const found = installed[path]?.version;
    if (found !== entry.version) return `${path} is ${found ?? "missing"}, not ${entry.version}`;
  }
  return undefined;
}

/**
 * Installs what package-lock.json names. Not `npm ci`: it refuses a lock file without the binaries of other platforms,
 * which some registry mirrors do not carry; this takes the same versions from the lock file and writes nothing back.
 */
export async function ensureNodeModules() {
  const reason = staleness();
  if (reason === undefined) return;
  say(`npm install (${reason})`);
  const { code, stdout } = await run("npm", ["install", "--no-save", "--loglevel=error"], {
    quiet: true,
  });
  if (code !== 0) throw new Error(`npm install failed:\n${stdout}`);
}

/** Compiles the named project and what it refers to (the whole tree without a name); incremental. False when it has errors. */
export async function build(project) {
  await ensureNodeModules();
  const { code } = await run(bin("tsc"), ["-b", ...(project === undefined ? [] : [project])]);
  return code === 0;
}
