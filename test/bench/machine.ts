import { readdirSync, readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

/** What the figures were measured on. */
export function machine(): { cpu: string; memory: string; node: string } {
  const [first] = cpus();
  return {
    cpu: `${cpus().length} x ${first?.model ?? "unknown"}`,
    memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    node: `Node ${process.versions.node}`,
  };
}

/** The value below which a share `q` of the values lies. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0;
}

/** The middle of the values. */
export const median = (values: readonly number[]): number => quantile(values, 0.5);

/** CPU time so far of this process's children, ms, by what they are; a clock tick is 10 ms. */
export function cpuMsOfChildren(): Map<string, number> {
  const used = new Map<string, number>();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const [, parent, ...rest] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(parent) !== process.pid) continue;
      const what = kindOf(readFileSync(`/proc/${pid}/cmdline`, "utf8"));
      used.set(what, (used.get(what) ?? 0) + (Number(rest[9]) + Number(rest[10])) * 10);
    } catch {
      // It ended meanwhile.
    }
  }
  return used;
}

function kindOf(command: string): string {
  if (command.includes("nats-server")) return "nats-servers";
  if (command.includes("JavaClient")) return "writer";
  const site = /--site\0(\w+)/.exec(command)?.[1];
  return site === undefined ? "infinispans" : `isthmus ${site}`;
}
