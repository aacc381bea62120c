import type { Limits } from "../../topology/config/config.ts";
import { ONLINE_STEADY_MS, PEER_SILENT_MS } from "../../topology/limits.ts";

/** A target that nobody waits for. */
export interface OfflineMark {
  readonly by: "operator" | "rule";
  /** Why it was taken offline, for people. */
  readonly why: string;
  /** ms since the epoch. */
  readonly since: number;
  /** It goes online by itself once it is level: under the rule always, under an operator once one said so. */
  readonly isReturning: boolean;
}

/** What a site sees of one target of a cache. */
export interface TargetSight {
  /** Since its last heartbeat, or since this process started. */
  readonly silenceMs: number;
  /** Heartbeats in a row that said that the cache cannot be used there. */
  readonly failures: number;
  /** Why it would not be level: it lags, has a gap, is paused or blocked; undefined: it is level. */
  readonly lacks: string | undefined;
  /** For how long it has been heard and level without a break. */
  readonly levelMs: number;
}

/** What is to happen with a target. */
export type OfflineVerdict =
  | { readonly is: "take"; readonly why: string }
  | { readonly is: "return" }
  | undefined;

/**
 * The take-offline rule (design section 6), for one cache and target: by heartbeat, so that it needs no traffic. Either
 * threshold is enough, because a target that fails is heard and one that is silent tells no failure. It comes back only level,
 * and after the rule only when it stayed so for {@link ONLINE_STEADY_MS}. Pure.
 */
export function judgeTarget(
  mark: OfflineMark | undefined,
  sight: TargetSight,
  { afterFailures, afterSilenceMs }: Limits["takeOffline"],
): OfflineVerdict {
  const { silenceMs, failures, lacks, levelMs } = sight;
  if (mark === undefined) {
    if (silenceMs > afterSilenceMs)
      return { is: "take", why: `no heartbeat for ${Math.floor(silenceMs / 1_000)} s` };
    if (afterFailures > 0 && failures >= afterFailures)
      return {
        is: "take",
        why: `${failures} heartbeats in a row said that its cache cannot be used`,
      };
    return undefined;
  }
  if (!mark.isReturning || lacks !== undefined || silenceMs > PEER_SILENT_MS) return undefined;
  const steadyMs = mark.by === "operator" ? 0 : ONLINE_STEADY_MS;
  return levelMs >= steadyMs ? { is: "return" } : undefined;
}
