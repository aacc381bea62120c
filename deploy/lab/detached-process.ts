import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { processFacts } from "./process-table.ts";

/** How often a process that is to end is looked at. */
const END_POLL_MS = 50;

/** One process, named so that a later program can find it and take no other one for it. */
export interface ProcessIdentity {
  readonly pid: number;
  /** See `ProcessFacts`. */
  readonly startedAt: string;
}

/** How {@link startDetached} starts a program, where not as this one runs. */
export interface StartOptions {
  /** Added to this program's own. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The user and the group that it runs as; its working folder is then `/`, which every user may enter. */
  readonly runAs?: number | undefined;
}

/**
 * Starts a program that outlives this one, in a process group of its own, so that Ctrl-C at the terminal does not reach it.
 *
 * @throws Error when the program cannot be started.
 */
export async function startDetached(
  command: string,
  args: readonly string[],
  logFile: string,
  { environment, runAs }: StartOptions = {},
): Promise<ProcessIdentity> {
  const log = openSync(logFile, "a");
  const env = { ...process.env, ...environment };
  const user = runAs === undefined ? {} : { uid: runAs, gid: runAs, cwd: "/" };
  const stdio = ["ignore", log, log] as const;
  const child = spawn(command, args, { stdio: [...stdio], detached: true, env, ...user });
  closeSync(log);
  await once(child, "spawn");
  child.unref();
  const pid = child.pid ?? 0;
  // A program that ended before it could be looked at has no start time, and so is no process that runs.
  return { pid, startedAt: (await processFacts(pid))?.startedAt ?? "" };
}

/** Whether exactly this process still runs. */
export async function isRunning({ pid, startedAt }: ProcessIdentity): Promise<boolean> {
  const facts = await processFacts(pid);
  return facts !== undefined && facts.startedAt === startedAt;
}

/** Ends exactly this process, with SIGTERM or `how`, and with SIGKILL when it takes longer; false when it no longer ran. */
export async function endProcess(
  process: ProcessIdentity,
  graceMs: number,
  how: NodeJS.Signals = "SIGTERM",
): Promise<boolean> {
  if (!(await isRunning(process))) return false;
  const deadline = performance.now() + graceMs;
  signal(process.pid, how);
  while (await isRunning(process)) {
    if (performance.now() > deadline) signal(process.pid, "SIGKILL");
    await sleep(END_POLL_MS);
  }
  return true;
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    // It ended since it was looked at.
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
