import { JOURNAL_ROWS_MAX } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type { Clock, Ledger } from "../../topology/ports.ts";
import type { Key, Versions } from "../../topology/version/entry.ts";
import type { Shown } from "../../topology/version/show.ts";
import type { DeadLetter } from "../../gateway/receive/receiver.ts";

/** One conflict as this site saw it: concurrent versions of a key, and what shows. */
export interface ConflictRow {
  readonly cache: CacheName;
  readonly key: Key;
  /** When it was found here, ms since the epoch. */
  readonly foundAt: number;
  readonly policy: ConflictPolicy;
  readonly siblings: ReadonlyArray<{
    readonly author: SiteName;
    readonly dot: bigint;
    readonly at: number;
    readonly kind: "put" | "remove";
    readonly hash: string;
  }>;
  /** Author of what shows; "(merged)" for a computed value; undefined: nothing shows. */
  readonly shows: string | undefined;
}

/** One mutation that could not be applied here, or not be sent from here. */
export interface DeadLetterRow {
  readonly cache: CacheName;
  readonly foundAt: number;
  /** The log it came from; undefined: a local change that is too large to be sent. */
  readonly origin: SiteName | undefined;
  readonly seq: number | undefined;
  readonly key: Key | undefined;
  readonly reason: string;
  readonly payload: Uint8Array | undefined;
}

type Kind = "conflict" | "dead";

/** Conflicts and dead letters of this site, in its ledger, numbered; each kind keeps its newest rows. */
export class Journal {
  readonly #ledger: Ledger;
  readonly #clock: Clock;
  readonly #next = new Map<Kind, number>();
  conflicts = 0;
  deadLetters = 0;

  constructor(ledger: Ledger, clock: Clock) {
    this.#ledger = ledger;
    this.#clock = clock;
  }

  /** Staged with the entry that it is about. */
  addConflict(
    cache: CacheName,
    key: Key,
    versions: Versions,
    shows: Shown,
    policy: ConflictPolicy,
  ): void {
    this.conflicts += 1;
    const siblings = versions.siblings.map(({ author, dot, at, kind, hash }) => ({
      author,
      dot,
      at,
      kind,
      hash,
    }));
    const shown = shows?.kind === "merged" ? "(merged)" : shows?.author;
    const foundAt = this.#clock.now();
    this.#add("conflict", { cache, key, foundAt, policy, siblings, shows: shown });
  }

  /** Staged. */
  addDeadLetter(letter: DeadLetter): void {
    this.deadLetters += 1;
    this.#add("dead", { ...letter, foundAt: this.#clock.now() });
  }

  /** Staged: a change of this site that is above the limit. */
  addUnsendable(cache: CacheName, key: Key, bytes: number): void {
    this.deadLetters += 1;
    const reason = `the value has ${bytes} bytes, more than limits.maxValueBytes`;
    const foundAt = this.#clock.now();
    this.#add("dead", { cache, key, foundAt, reason });
  }

  /** Newest last. */
  allConflicts(): Array<[number, ConflictRow]> {
    return this.#rows<ConflictRow>("conflict");
  }

  /** Newest last. */
  allDeadLetters(): Array<[number, DeadLetterRow]> {
    return this.#rows<DeadLetterRow>("dead");
  }

  #rows<T>(kind: Kind): Array<[number, T]> {
    const rows: Array<[number, T]> = [];
    for (const [name, value] of this.#ledger.facts(`journal/${kind}/`)) {
      rows.push([Number(name.slice(name.lastIndexOf("/") + 1)), value as T]);
    }
    return rows;
  }

  #add(kind: Kind, row: object): void {
    const id = this.#next.get(kind) ?? (this.#rows(kind).at(-1)?.[0] ?? 0) + 1;
    this.#next.set(kind, id + 1);
    this.#ledger.setFact(factName(kind, id), row);
    if (id > JOURNAL_ROWS_MAX)
      this.#ledger.setFact(factName(kind, id - JOURNAL_ROWS_MAX), undefined);
  }
}

/** Padded, so that names sort as numbers do. */
const factName = (kind: Kind, id: number): string =>
  `journal/${kind}/${String(id).padStart(12, "0")}`;
