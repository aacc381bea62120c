import { execFile } from "node:child_process";
import { join } from "node:path";
import { projectRoot } from "../lab/which.ts";

/** How a run of `isthmus` ended. */
export interface IsthmusRun {
  /** The exit code; or the signal, or the system's own code, where there is none. */
  readonly code: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a verb on a file as an operator does, in a process of its own; what takes longer than `msMax` is killed. Never rejects. */
export function runIsthmus(
  verb: string,
  file: string,
  args: readonly string[],
  msMax: number,
): Promise<IsthmusRun> {
  const argv = [join(projectRoot(), "deploy", "bin", "isthmus.mjs"), verb, "-f", file, ...args];
  return new Promise((resolve) => {
    execFile(process.execPath, argv, { timeout: msMax }, (error, stdout, stderr) => {
      const code = error === null ? 0 : (error.code ?? error.signal ?? "unknown");
      resolve({ code, stdout, stderr });
    });
  });
}

/** One comparison has ended by then, in ms. */
const VERIFY_MS_MAX = 60_000;

/** What `isthmus verify` says first, and whether no key differs; of one cache, or of all. */
export async function verifySites(
  file: string,
  cache?: string,
): Promise<{ isEqual: boolean; said: string }> {
  const args = cache === undefined ? [] : ["--cache", cache];
  const { code, stdout, stderr } = await runIsthmus("verify", file, args, VERIFY_MS_MAX);
  const lines = (stdout || stderr).trim().split("\n");
  // With several caches, the first line that tells of a difference.
  const said = lines.find((line) => code !== 0 && !line.includes(": 0 keys differ"));
  return { isEqual: code === 0, said: said ?? lines[0] ?? "" };
}
