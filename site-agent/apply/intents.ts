import type { CacheName } from "../../topology/names.ts";
import type { CacheConnector, CacheLedger, CacheState, Ledger } from "../../topology/ports.ts";
import type { Entry, Key, Sibling, ValueHash, Versions } from "../../topology/version/entry.ts";
import { withoutValue } from "../../topology/version/entry.ts";
import { sameExpiry } from "../tail/judge.ts";
import type { Plan } from "./plan.ts";

/** What an apply that no log tells of is about to leave in the cache, and the versions that it makes of the key. */
export interface Intent {
  readonly key: Key;
  readonly plan:
    | {
        readonly write: "put";
        readonly hash: string;
        readonly expiresAt: number;
        readonly maxIdleMs: number;
      }
    | { readonly write: "remove"; readonly presence: "tombstone" | "absent" };
  readonly versions: Versions;
}

/**
 * The writes of one cache that are under way and that no log tells of (resync, absent keys, a change of policy): on disk
 * before they start, so that an unclean end never turns what they wrote into a local change (I6).
 */
export class Intents {
  readonly #ledger: Ledger;
  readonly #cache: CacheName;
  readonly #open = new Map<Key, number>();
  #last = 0;

  constructor(ledger: Ledger, cache: CacheName) {
    this.#ledger = ledger;
    this.#cache = cache;
  }

  /** Resolves when it is on disk: many at once share a sync. */
  async store(key: Key, versions: Versions, plan: Exclude<Plan, { write: "none" }>): Promise<void> {
    const id = this.#open.get(key) ?? ++this.#last;
    this.#open.set(key, id);
    this.#ledger.setFact(this.#fact(id), {
      cache: this.#cache,
      key,
      context: versions.context,
      siblings: versions.siblings.map(withoutValue),
      ...(plan.write === "put"
        ? {
            hash: plan.wanted.hash,
            expiresAt: plan.wanted.expiresAt,
            maxIdleMs: plan.wanted.maxIdleMs,
          }
        : { presence: plan.presence }),
    });
    await this.#ledger.sync();
  }

  /** Staged with the row that the write made, or once it is known that it was not done. */
  clear(key: Key): void {
    const id = this.#open.get(key);
    if (id === undefined) return;
    this.#open.delete(key);
    this.#ledger.setFact(this.#fact(id), undefined);
  }

  /** After an unclean end: what these writes left in the cache is known as theirs. Staged; resolves with how many were done. */
  async recover(
    rows: CacheLedger,
    connector: Pick<CacheConnector, "read">,
    hash: (value: Uint8Array) => ValueHash,
  ): Promise<number> {
    let done = 0;
    for (const [name, intent] of this.leftover()) {
      const { key } = intent;
      const row = fulfilled(intent, rows.get(key), await connector.read(key), hash);
      this.#ledger.setFact(name, undefined);
      if (row === undefined) continue;
      done += 1;
      rows.put(key, row);
    }
    return done;
  }

  /** What the last run left, with the names of its facts. */
  *leftover(): Generator<[string, Intent]> {
    const facts = Array.from(this.#ledger.facts(this.#prefix));
    for (const [name, fact] of facts) {
      const { cache, key, context, siblings, hash, expiresAt, maxIdleMs, presence } =
        fact as StoredIntent;
      if (cache !== this.#cache) continue;
      const plan =
        hash === undefined
          ? ({ write: "remove", presence: presence ?? "tombstone" } as const)
          : ({ write: "put", hash, expiresAt: expiresAt ?? 0, maxIdleMs: maxIdleMs ?? 0 } as const);
      // A small 64-bit number may come back as a number.
      const seen = [...context].map(([site, dot]) => [site, BigInt(dot)] as const);
      const versions = siblings.map((s) => ({ ...s, dot: BigInt(s.dot) }));
      yield [name, { key, plan, versions: { context: new Map(seen), siblings: versions } }];
    }
  }

  get #prefix(): string {
    return `intent/${this.#cache}/`;
  }

  #fact(id: number): string {
    return `${this.#prefix}${id}`;
  }
}

interface StoredIntent {
  readonly cache: CacheName;
  readonly key: Key;
  readonly context: ReadonlyMap<string, bigint | number>;
  readonly siblings: ReadonlyArray<Omit<Sibling, "dot"> & { readonly dot: bigint | number }>;
  readonly hash?: string;
  readonly expiresAt?: number;
  readonly maxIdleMs?: number;
  readonly presence?: "tombstone" | "absent";
}

/** The row of a key whose intended write was done, by what the cache holds; undefined: it was not, or something came since. */
export function fulfilled(
  { plan, versions }: Intent,
  entry: Entry | undefined,
  state: CacheState | undefined,
  hash: (value: Uint8Array) => string,
): Entry | undefined {
  const outboxSeq = entry?.outboxSeq ?? 0;
  const siblings = versions.siblings.map((s) => {
    // What was overwritten here was kept before it was.
    const value = entry?.siblings.find((kept) => kept.hash === s.hash)?.value;
    return value === undefined ? s : { ...s, value };
  });
  const row = { context: versions.context, siblings, outboxSeq };
  if (plan.write === "remove") {
    if (state !== undefined) return undefined;
    return { ...row, presence: plan.presence, held: undefined };
  }
  if (state === undefined || hash(state.value) !== plan.hash) return undefined;
  if (!sameExpiry(state, plan)) return undefined;
  const { token, expiresAt, maxIdleMs } = state;
  const held = { hash: plan.hash, token, seenBy: 0, expiresAt, maxIdleMs };
  return { ...row, presence: "live", held };
}
