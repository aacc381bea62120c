import type { ResyncCache } from "../../gateway/resync/resync-cache.ts";
import type { CacheAgent } from "../../site-agent/cache-agent.ts";
import type { HandledCache } from "./handled-cache.ts";
import type { Site } from "./site.ts";

/** One cache of this site as a resync sees it, always as it is now. */
export function resyncCacheOf(
  site: Site,
  handled: HandledCache,
  agent: CacheAgent,
  hands: ResyncCache["hands"] = agent,
): ResyncCache {
  const { policy, peerGaps, name, refusals } = handled;
  return {
    cache: name,
    rows: agent.rows,
    hands,
    policyHash: agent.policyHash,
    copies: policy.mode !== "invalidate",
    get floor() {
      return agent.floor();
    },
    get dot() {
      return agent.lastDot;
    },
    get mediaType() {
      return agent.mediaType;
    },
    get isReady() {
      return agent.isReady;
    },
    refuses: (peer) => {
      if (handled.pause.isOn) return handled.pause.refusal();
      return refusals.has(peer) ? refusals.refusal(peer) : undefined;
    },
    isLevelBut: (peer) =>
      agent.isReady && [...peerGaps].every(([toward]) => toward === peer || refusals.has(toward)),
    get logEnd() {
      // A log that was made anew has nothing of what was published before.
      const { incarnation, lastSeq } = site.head;
      return { incarnation, seq: Math.min(handled.lastPublishedSeq, lastSeq) };
    },
    madeUp: (peer, { incarnation, seq }) => {
      if (incarnation !== site.head.incarnation) return;
      handled.unconfirmed.get(peer)?.madeUp(incarnation, seq);
    },
  };
}
