/** What one cache of one origin's log counted here since the process started; never reset. */
export class ReceiverStats {
  batches = 0;
  mutations = 0;
  bytes = 0;
  /** Batches of caches that are off here or that this site is no target of. */
  passed = 0;
  /** Batches that a peer must not send: local caches, foreign subjects. */
  refused = 0;
  /** Mutations that their author made before it was re-seeded. */
  voided = 0;
  /** Jumps of the batch counter: batches that are missing from the log. */
  counterGaps = 0;
  deadLetters = 0;
  retries = 0;
  /** From the writer's dot to the commit here, ms: sum, count and most of what was applied, for the mean. */
  lagMsSum = 0;
  lagCount = 0;
  /** Of the newest applied mutation. */
  lagMsLast = 0;
  /** Wall time of the newest applied batch here, ms since the epoch. */
  lastAppliedAt = 0;
}
