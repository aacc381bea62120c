import { LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS } from "../../topology/limits.ts";
import type { Random } from "../../topology/ports.ts";

/** The wait before try number `attempt` (1 is the second try), ms: doubled each time, bounded, jittered by half. */
export function retryDelayMs(attempt: number, random: Random): number {
  const full = Math.min(LINK_RETRY_MAX_MS, LINK_RETRY_MIN_MS * 2 ** Math.min(attempt - 1, 16));
  return full * (0.5 + random.next() / 2);
}
