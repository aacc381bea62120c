/** What one embedded cache has counted since it was created. */
export class CacheCounters {
  stores = 0;
  hits = 0;
  misses = 0;
  removeHits = 0;
  removeMisses = 0;
  evictions = 0;

  read(found: boolean): void {
    if (found) this.hits += 1;
    else this.misses += 1;
  }

  remove(found: boolean): void {
    if (found) this.removeHits += 1;
    else this.removeMisses += 1;
  }

  /**
   * The answer to STATS, by Infinispan's names (`Encoder2x.java`). It tells seconds since the start, by which a restart
   * can be found out; beside that there is `bootId`, which says so for certain.
   */
  toMap(size: number, uptimeMs: number, bootId: string): ReadonlyMap<string, string> {
    const local: [string, number][] = [
      ["timeSinceStart", Math.floor(uptimeMs / 1000)],
      ["currentNumberOfEntries", size],
      ["totalNumberOfEntries", this.stores],
      ["stores", this.stores],
      ["retrievals", this.hits + this.misses],
      ["hits", this.hits],
      ["misses", this.misses],
      ["removeHits", this.removeHits],
      ["removeMisses", this.removeMisses],
      ["evictions", this.evictions],
      ["globalCurrentNumberOfEntries", size],
      ["globalStores", this.stores],
      ["globalRetrievals", this.hits + this.misses],
      ["globalHits", this.hits],
      ["globalMisses", this.misses],
      ["globalRemoveHits", this.removeHits],
      ["globalRemoveMisses", this.removeMisses],
    ];
    const stats = new Map(local.map(([name, value]) => [name, String(value)]));
    return stats.set("bootId", bootId);
  }
}
