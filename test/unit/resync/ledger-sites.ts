import { serveResync } from "../../../gateway/resync/serve-resync.ts";
import { Resync, type Directions, type ResyncProgress } from "../../../gateway/resync/resync.ts";
import type { ResyncCache } from "../../../gateway/resync/resync-cache.ts";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import type { Bus, CacheLedger, PeerEntry } from "../../../topology/ports.ts";
import { mergedEntry } from "../../../topology/version/compare.ts";
import {
  covers,
  coversAll,
  EMPTY_CONTEXT,
  joinContexts,
} from "../../../topology/version/context.ts";
import type { Context, Entry, Key, Versions } from "../../../topology/version/entry.ts";
import { mergeVersions } from "../../../topology/version/join.ts";
import { VirtualMachine } from "../../support/virtual-machine.ts";

/** The rows of one cache in memory, in the order of their keys. */
class MemoryRows {
  readonly rows = new Map<Key, Entry>();
  #sorted: Key[] | undefined;

  get(key: Key): Entry | undefined {
    return this.rows.get(key);
  }

  put(key: Key, entry: Entry): void {
    if (!this.rows.has(key)) this.#sorted = undefined;
    this.rows.set(key, entry);
  }

  delete(key: Key): void {
    this.rows.delete(key);
    this.#sorted = undefined;
  }

  page(after: Key | undefined, limit: number, upTo?: Key): Array<[Key, Entry]> {
    this.#sorted ??= [...this.rows.keys()].sort((a, b) => (a < b ? -1 : 1));
    const page: Array<[Key, Entry]> = [];
    for (let i = after === undefined ? 0 : this.#firstAbove(after); page.length < limit; i++) {
      const key = this.#sorted[i];
      const entry = key === undefined ? undefined : this.rows.get(key);
      if (key === undefined || entry === undefined || (upTo !== undefined && key > upTo)) break;
      page.push([key, entry]);
    }
    return page;
  }

  #firstAbove(key: Key): number {
    const sorted = this.#sorted ?? [];
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((sorted[middle] ?? "") <= key) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** One site whose cache is its ledger: merges are pure, values are texts beside the versions. */
export class LedgerSite {
  readonly name: string;
  readonly rows = new MemoryRows();
  floor: Context = EMPTY_CONTEXT;
  isLevel = true;
  isReady = true;
  mediaType: string | undefined = "text/plain";
  /** Keys whose value is being written, and how many looks that lasts. */
  readonly unsettled = new Map<Key, number>();
  merges = 0;
  /** Sites that said that they have all of the log, and up to where. */
  readonly madeUp: string[] = [];

  constructor(name: string) {
    this.name = name;
  }

  /** A row whose presence follows from its versions. */
  put(key: Key, versions: Versions, presence?: Entry["presence"]): void {
    const isLive = versions.siblings.some(({ kind }) => kind === "put");
    const shows = presence ?? (isLive ? "live" : "tombstone");
    this.rows.put(key, { ...versions, presence: shows, held: undefined, outboxSeq: 0 });
  }

  get cache(): ResyncCache {
    const { floor, isLevel, mediaType, rows } = this;
    return {
      cache: "sessions",
      rows: rows as unknown as CacheLedger,
      hands: {
        merge: async (entry) => this.#merge(entry),
        tell: async (keys) => keys.flatMap((key) => this.#tell(key)),
      },
      floor,
      dot: 77n,
      policyHash: "p",
      mediaType,
      isReady: this.isReady,
      copies: true,
      refuses: () => undefined,
      isLevelBut: () => isLevel,
      logEnd: { incarnation: "i", seq: 7 },
      madeUp: (site, { seq }) => this.madeUp.push(`${site} ${seq}`),
    };
  }

  /** Every row as text, but for the tombstones that `level` covers; contexts with what the joined floors say besides. */
  facts(level: Context, joined: Context): string[] {
    const facts: string[] = [];
    for (const [key, { context, siblings, presence }] of this.rows.rows) {
      const above = joinContexts(context, joined);
      const isEmpty = siblings.every((s) => covers(level, s.author, s.dot));
      if (presence === "tombstone" && isEmpty && coversAll(joined, context)) continue;
      const versions = siblings.map((s) => `${s.author}${s.dot}${s.kind}${s.hash}`).join();
      const seen = [...above].map(([site, dot]) => `${site}${dot}`).sort();
      facts.push(`${key} ${presence} ${versions} ${seen.join()}`);
    }
    return facts.sort();
  }

  #tell(key: Key): PeerEntry[] {
    const looks = this.unsettled.get(key) ?? 0;
    if (looks > 0) {
      this.unsettled.set(key, looks - 1);
      return [];
    }
    const entry = this.rows.get(key);
    const { floor } = this;
    if (entry === undefined) return [{ key, versions: undefined, floor }];
    return [{ key, versions: { context: entry.context, siblings: entry.siblings }, floor }];
  }

  #merge({ key, versions, floor }: PeerEntry): "written" {
    this.merges += 1;
    const entry = this.rows.get(key);
    const merged =
      entry === undefined
        ? mergeVersions(undefined, this.floor, versions, floor).versions
        : mergedEntry(entry, this.floor, versions, floor);
    if (merged !== undefined) this.put(key, merged);
    return "written";
  }
}

/** The process was killed at this point. */
export class Killed extends Error {}

/** Sites that resync over a bus in memory. */
export class LedgerSites {
  readonly machine = new VirtualMachine();
  readonly sites: ReadonlyMap<string, LedgerSite>;
  /** Questions that were asked, by verb. */
  readonly asked: string[] = [];
  largestMessage = 0;
  /** Called before each question, with its number. */
  onAsk: (n: number, subject: string) => void = () => undefined;
  readonly #served = new Map<string, (payload: Uint8Array) => Promise<Uint8Array>>();

  constructor(...sites: LedgerSite[]) {
    this.sites = new Map(sites.map((site) => [site.name, site]));
    for (const site of sites) {
      serveResync({
        site: site.name,
        bus: this.bus,
        clock: this.machine.clock,
        cache: (name) => (name === "sessions" ? site.cache : undefined),
        offsetMs: () => 0,
      });
    }
  }

  get bus(): Bus {
    return {
      serve: (subject: string, handler: (payload: Uint8Array) => Promise<Uint8Array>) => {
        this.#served.set(subject, handler);
        return () => undefined;
      },
      request: async (subject: string, payload: Uint8Array) => {
        this.asked.push(subject.split(".").at(-1) ?? "");
        this.onAsk(this.asked.length, subject);
        await this.machine.clock.sleep(1);
        const answer = await this.#served.get(subject)?.(payload);
        if (answer === undefined) throw new IsthmusError(ErrorCode.PeerUnreachable, subject);
        this.largestMessage = Math.max(this.largestMessage, payload.length, answer.length);
        return answer;
      },
    } as unknown as Bus;
  }

  resync(
    here: LedgerSite,
    peer: LedgerSite,
    more: {
      directions?: Directions;
      resume?: ResyncProgress | undefined;
      onProgress?: (progress: ResyncProgress) => void;
      onDiffering?: (key: Key) => void;
    } = {},
  ): Resync {
    const { clock, random } = this.machine;
    return new Resync(
      {
        site: here.name,
        peer: peer.name,
        here: here.cache,
        bus: this.bus,
        clock,
        random,
        offsetMs: () => 0,
        onProgress: more.onProgress ?? (() => undefined),
        ...(more.onDiffering !== undefined && { onDiffering: more.onDiffering }),
      },
      more.directions ?? { pull: "values", push: true },
      more.resume,
    );
  }

  /** A two-way resync to its end; floors join as the site that asked does it. */
  async level(here: LedgerSite, peer: LedgerSite) {
    const resync = this.resync(here, peer);
    const result = await this.machine.settle(resync.run(new AbortController().signal));
    here.floor = joinContexts(here.floor, result.peerFloor);
    return result;
  }
}
