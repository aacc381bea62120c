import type { Batch } from "../../topology/mutation/batch.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { Dot } from "../../topology/version/entry.ts";
import type { Mode } from "../../topology/policy/mode.ts";

/** What is to happen with a batch that arrived. */
export type Acceptance =
  | { readonly is: "apply" }
  /** Passed over on purpose: the position moves, nothing is stored. */
  | { readonly is: "pass"; readonly why: "off" | "not a target" }
  /** A peer sent what it must not: passed over, counted, alarmed. */
  | { readonly is: "refuse"; readonly why: string }
  /** An operator paused the cache here: the position stays. */
  | { readonly is: "pause"; readonly why: string }
  /** Cannot be applied as things are: the position stays, tried again. */
  | { readonly is: "block"; readonly why: string };

/** This site's side of one cache, as far as it decides about arriving batches. */
export interface Receiving {
  readonly origin: SiteName;
  readonly cache: CacheName;
  readonly mode: Mode;
  /** Whether the policy sends this cache from the origin to this site. */
  readonly isTarget: boolean;
  /** An operator paused the cache here. */
  readonly isPaused?: boolean;
  /** Why nothing of the origin is taken; undefined: it is. */
  readonly refusal?: string | undefined;
  /** Changes of the origin up to here are void. */
  readonly voidUpTo?: Dot;
  readonly policyHash: string;
  /** The origin's conflict policy as its last heartbeat announced it; undefined: none was heard. */
  readonly originPolicyHash: string | undefined;
  /** undefined until the cache was opened. */
  readonly mediaType: string | undefined;
}

/** Decides about one batch (I9). Pure. */
export function acceptBatch({ header }: Batch, here: Receiving): Acceptance {
  if (header.origin !== here.origin || header.cache !== here.cache) {
    return {
      is: "refuse",
      why: `a batch of ${header.origin}/${header.cache} in the log of ${here.origin}/${here.cache}`,
    };
  }
  if (here.mode === "never") {
    return { is: "refuse", why: `${here.cache} is local (mode never), but ${here.origin} sent it` };
  }
  if (here.mode === "off") return { is: "pass", why: "off" };
  if (!here.isTarget) return { is: "pass", why: "not a target" };
  if (here.isPaused === true) return { is: "pause", why: "paused by an operator" };
  if (here.refusal !== undefined) return { is: "block", why: here.refusal };
  // A batch keeps the policy that its author had. What shows depends on the versions alone, so once the origin decides as
  // this site does, whatever it wrote before may come in.
  const isAgreed = [header.policyHash, here.originPolicyHash].includes(here.policyHash);
  if (!isAgreed) {
    return {
      is: "block",
      why: `${here.origin} decides conflicts of ${here.cache} by another policy (${header.policyHash}, here ${here.policyHash})`,
    };
  }
  if (here.mediaType === undefined) return { is: "block", why: `${here.cache} is not open yet` };
  if (header.mediaType !== here.mediaType) {
    return {
      is: "block",
      why: `${here.cache} stores ${header.mediaType} at ${here.origin}, but ${here.mediaType} here`,
    };
  }
  return { is: "apply" };
}
