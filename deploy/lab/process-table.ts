import { execFile } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { promisify } from "node:util";

/** What the operating system knows of a process. */
export interface ProcessFacts {
  /** When it started, as the system writes it: compared, never read. With the pid it names one process for good. */
  readonly startedAt: string;
  /** Memory that it holds, in bytes. */
  readonly residentBytes: number;
}

/** The facts of a process that runs, or undefined; one that ended and was not yet collected by its parent does not run. */
export async function processFacts(pid: number): Promise<ProcessFacts | undefined> {
  return existsSync("/proc/self/stat") ? fromProc(pid) : await fromPs(pid);
}

function fromProc(pid: number): ProcessFacts | undefined {
  let stat: string;
  let status: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    status = readFileSync(`/proc/${pid}/status`, "utf8");
  } catch {
    return undefined;
  }
  // The name, in parentheses, may hold anything; the state is the first field behind it, the start time the twentieth.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state = "", startedAt = ""] = [fields[0], fields[19]];
  if (/[ZXx]/.test(state)) return undefined;
  const kib = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
  return { startedAt, residentBytes: kib * 1024 };
}

async function fromPs(pid: number): Promise<ProcessFacts | undefined> {
  const columns = ["-o", "stat=,rss=,lstart=", "-p", String(pid)];
  const { stdout } = await promisify(execFile)("ps", columns).catch(() => ({ stdout: "" }));
  const found = /^\s*(\S+)\s+(\d+)\s+(.+?)\s*$/.exec(stdout);
  if (found === null || found[1]?.startsWith("Z") === true) return undefined;
  return { startedAt: found[3] ?? "", residentBytes: Number(found[2]) * 1024 };
}
