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
