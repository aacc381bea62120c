import type { Random } from "./ports.ts";

/** The wait before the next try after `attempt` failures (from 0), ms: `firstMs` doubled each time, bounded, jittered by half. */
export function backOffMs(
  attempt: number,
  { firstMs, mostMs }: { firstMs: number; mostMs: number },
  random: Random,
): number {
  return Math.min(2 ** Math.min(attempt, 12) * firstMs, mostMs) * (0.5 + random.next() / 2);
}
