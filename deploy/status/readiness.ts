import { ErrorCode } from "../../topology/errors.ts";
import type { CacheStatus, SiteStatus } from "./site-status.ts";

/** A yes, or every reason against it. */
export interface Answer {
  readonly ok: boolean;
  readonly reasons: readonly string[];
}

const answer = (reasons: readonly string[]): Answer => ({ ok: reasons.length === 0, reasons });

/** Whether the process does its work: it is active, NATS is connected, and every handled cache is live or being scanned. */
export function readiness({ state, natsConnected, caches }: SiteStatus): Answer {
  const reasons: string[] = [];
  if (state !== "active") reasons.push(`the process is ${state}`);
  if (!natsConnected) reasons.push("the site's NATS is not connected");
  // A process that just became active has yet to look at its log before it takes up its caches.
  if (caches.length === 0) reasons.push("no cache is taken up yet");
  for (const cache of caches) {
    if (isHandled(cache) && !AT_WORK.has(cache.state))
      reasons.push(`cache ${cache.cache} is ${cache.state}${becauseOf(cache)}`);
  }
  return answer(reasons);
}

/** Whether a balancer may send clients to this site: it is active, and its cache answers. */
export function balancerAnswer({ state, caches }: SiteStatus): Answer {
  if (state !== "active") return answer([`the process is ${state}`]);
  const handled = caches.filter(isHandled);
  const away = handled.find(
    ({ state: s, code }) => s === "blocked" && code !== null && AWAY.has(code),
  );
  if (away !== undefined) return answer([`the local cache cannot be used${becauseOf(away)}`]);
  const isReached = handled.length === 0 || handled.some(({ state: s }) => REACHED.has(s));
  return answer(isReached ? [] : ["the local cache was not reached yet"]);
}

/** Errors of the whole local cache, not of one of its caches. */
const AWAY: ReadonlySet<string> = new Set([ErrorCode.CacheUnreachable, ErrorCode.CacheAuthFailed]);

const LIVE = ["live", "held", "degraded", "unheld"];
const REACHED: ReadonlySet<string> = new Set(["recovering", "scanning", ...LIVE]);

const isHandled = ({ state }: CacheStatus): boolean => state !== "off" && state !== "never";

const AT_WORK: ReadonlySet<string> = new Set(["scanning", ...LIVE]);

const becauseOf = ({ why }: CacheStatus): string => (why === null ? "" : `: ${why}`);
