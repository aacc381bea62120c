/** What one cache of one site counted since the process started; read by status and metrics, never reset. */
export class CacheStats {
  /** Events that the listener reported. */
  events = 0;
  /** Times that changes may have been missed here, the start among them. */
  gaps = 1;
  /** Events that were recognised as the echo of an apply, without and with a read. */
  echoesByEvent = 0;
  echoesByRead = 0;
  /** Reads that capture made. */
  captureReads = 0;
  /** Local changes that got a version. */
  capturedPuts = 0;
  capturedRemoves = 0;
  /** Outbox rows that a newer one of the same key replaced before they were sent. */
  conflated = 0;
  /** Entries that went away by expiry here. */
  expired = 0;
  /** Keys found without a copy here, never published as removes. */
  absences = 0;
  /**
   * Keys that went idle here and whose last use the peers were asked for; of them, those put back from a peer where a client
   * used them, those that ended here, and those that ended though a peer did not answer.
   */
  idleAsked = 0;
  idlePutBack = 0;
  idleExpired = 0;
  idleUnanswered = 0;
  /** Reads that a lagging replica answered. */
  laggingReads = 0;
  /** Values above the limit, kept back as dead letters. */
  oversized = 0;

  /** Batches and mutations that the log acknowledged, and their bytes. */
  publishedBatches = 0;
  publishedMutations = 0;
  publishedBytes = 0;
  publishRetries = 0;

  /** Arriving versions: written to the cache, kept without a write, already covered. */
  appliedWrites = 0;
  appliedKept = 0;
  appliedCovered = 0;
  /** Applies that lost their compare-and-set to a local write. */
  lostRaces = 0;
  /** Writes whose outcome was unknown, and those that a later read found done. */
  unknownOutcomes = 0;
  intentsMatched = 0;
  /** Keys that got a second sibling. */
  conflicts = 0;
  /** Failed attempts of an apply that will be tried again. */
  applyRetries = 0;
}
