import type { WriteEffect } from "../../topology/hotrod/write-effect.ts";

/** How a hold ended: undefined: the write may be answered as the cache answered it; else why it is answered as failed. */
export type HoldEnd = string | undefined;

/** One write whose answer waits for other sites. */
export interface HeldWrite {
  /**
   * The cache answered that the write is done. Calls `onEnd` once it may be answered, at the latest when the budget, which
   * began with the request, is used up; at once, before it returns, if nobody is to be waited for.
   */
  done(onEnd: (end: HoldEnd) => void): void;
  /** The write was not done, or its client is gone: nobody waits any more. To be called once, unless {@link HeldWrite.done} ended. */
  drop(): void;
}

/** One use of a key, which is to be the only one over all sites. */
export interface KeyUse {
  /** Calls back once the write may be forwarded (undefined), or with why it may not. */
  ready(onReady: (refused: string | undefined) => void): void;
  /** The cache answered whether the key was taken; or the client is gone, and with it the answer: then it may have been. */
  end(isDone: boolean): void;
}

/** Whose writers wait. */
export interface WriteHolds {
  /** Whether writes to a cache, by its local name, are replicated: listeners have to hear of them. */
  replicates(localName: string): boolean;
  /** A write that uses a key is to be forwarded; undefined: it may be at once. */
  use(localName: string, effect: WriteEffect): KeyUse | undefined;
  /** A write to a cache, by its local name, is about to be forwarded; undefined: its writer never waits. */
  begin(localName: string, effect: WriteEffect): HeldWrite | undefined;
}
