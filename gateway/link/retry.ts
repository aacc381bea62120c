import { backOffMs } from "../../topology/back-off.ts";
import { LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS } from "../../topology/limits.ts";
import type { Random } from "../../topology/ports.ts";

/** The wait before try number `attempt` (1 is the second try), ms: doubled each time, bounded, jittered by half. */
export function retryDelayMs(attempt: number, random: Random): number {
  const waits = { firstMs: LINK_RETRY_MIN_MS, mostMs: LINK_RETRY_MAX_MS };
  return backOffMs(attempt - 1, waits, random);
}
