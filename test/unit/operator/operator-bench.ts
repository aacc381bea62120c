import type { OperatedCache } from "../../../deploy/operator/client-write.ts";
import { Journal } from "../../../deploy/site/journal.ts";
import type { Key } from "../../../topology/version/entry.ts";
import { hashOf, type ScriptedCache } from "../../support/scripted-cache.ts";
import { ApplierBench, arrival } from "../site-agent/applier-bench.ts";

/** The site `lon` with one cache and its journal: conflicts come from real applies, and what a command writes is captured. */
export class OperatorBench {
  readonly bench = new ApplierBench();
  readonly journal: Journal;
  /** Whether the tail captures what a command writes. */
  isCapturing = true;

  constructor() {
    const { machine, cache } = this.bench;
    this.journal = new Journal(machine.ledger, machine.clock);
    const write = cache.write.bind(cache);
    cache.write = async (...args: Parameters<ScriptedCache["write"]>) => {
      const outcome = await write(...args);
      if (outcome === "done" && this.isCapturing) this.#captured(args[0]);
      return outcome;
    };
    const remove = cache.remove.bind(cache);
    cache.remove = async (...args: Parameters<ScriptedCache["remove"]>) => {
      const outcome = await remove(...args);
      if (outcome === "done" && this.isCapturing) this.#captured(args[0]);
      return outcome;
    };
  }

  get parts() {
    const { machine } = this.bench;
    const { clock, ledger } = machine;
    const logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => logger };
    const cache = () => this.operated;
    return { site: "lon", journal: this.journal, ledger, clock, logger, cache };
  }

  get operated(): OperatedCache {
    const { cache, rows } = this.bench;
    return { connector: cache, rows, hash: hashOf };
  }

  /** Key k was put here as `mine`, and at nyc as `theirs` at the same time: by default the later one, nyc's, shows. */
  async conflict(mine: string | undefined, theirs: string | undefined, more = {}): Promise<number> {
    const { bench } = this;
    await bench.captured(mine ?? "before");
    if (mine === undefined) {
      bench.cache.entries.delete("k");
      bench.changes.remove("k", bench.row, undefined);
    }
    // The event of the write above was seen.
    const at = bench.machine.clock.now() + 60_000;
    this.isCapturing = false;
    await bench.apply(arrival("nyc", at, theirs, more));
    this.isCapturing = true;
    const [versions] = bench.conflicts.splice(0);
    if (versions === undefined) throw new Error("no conflict");
    const shows = versions.siblings.find(({ author }) => author === "nyc");
    this.journal.addConflict("sessions", "k", versions, shows, "last-writer-wins");
    return this.journal.allConflicts().at(-1)?.[0] ?? 0;
  }

  /** What the tail does, at once. */
  #captured(key: Key): void {
    const { bench } = this;
    const state = bench.cache.entries.get(key);
    if (state === undefined) bench.changes.remove(key, bench.row, undefined);
    else {
      const options = { at: undefined, seenBy: 1 };
      bench.changes.put(key, bench.row, state, hashOf(state.value), options);
    }
  }
}
