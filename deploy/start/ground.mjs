// What every start task stands on: folders, talk on stderr, child processes. Plain Node, because it runs before node_modules exist.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Downloads that outlive a run; git-ignored. */
export const CACHE = join(ROOT, ".cache");

/** Something that this machine lacks; the message says what to install. */
export class Missing extends Error {
  constructor(what, message) {
    super(message);
    this.what = what;
  }
}

/** Talk goes to stderr, so that stdout holds only a task's result. */
export function say(message) {
  process.stderr.write(`${message}\n`);
}

/** The path of a program on PATH, or undefined. */
export function onPath(program) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.map((folder) => join(folder, program)).find((path) => existsSync(path));
}

/**
 * Runs a program to its end and returns {code, stdout}. Its stdout is passed on ("inherit"), sent to stderr ("talk")
 * or collected ("collect"); its stderr is passed on, or collected behind stdout with `quiet`.
 */
export function run(program, args, { stdout = "talk", quiet = false, env = {}, cwd = ROOT } = {}) {
  const target = { inherit: "inherit", talk: 2, collect: "pipe" }[quiet ? "collect" : stdout];
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: ["inherit", target, quiet ? "pipe" : "inherit"],
    });
    const pass = (signal) => child.kill(signal);
    process.on("SIGINT", pass);
    process.on("SIGTERM", pass);
    let collected = "";
    child.stdout?.on("data", (chunk) => (collected += chunk));
    child.stderr?.on("data", (chunk) => (collected += chunk));
    child.on("error", reject);
    child.on("close", (code, signal) => {
      process.off("SIGINT", pass);
      process.off("SIGTERM", pass);
      resolve({ code: code ?? (signal === "SIGINT" ? 130 : 143), stdout: collected });
    });
  });
}

/** A program of node_modules/.bin. */
export function bin(name) {
  return join(ROOT, "node_modules", ".bin", name);
}
