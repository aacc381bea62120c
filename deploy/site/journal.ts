import { JOURNAL_BYTES_MAX, JOURNAL_ROWS_MAX } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type { Clock, Ledger } from "../../topology/ports.ts";
import type { Expiry, Key, Sibling, Versions } from "../../topology/version/entry.ts";
import type { Shown } from "../../topology/version/show.ts";
import type { DeadLetter } from "../../gateway/receive/receiver.ts";
import { type JournalBounds, JournalTable } from "./journal-table.ts";

/** One of the versions of a conflict; the bytes of those that lost are kept beside the row. */
export interface ConflictVersion extends Expiry {
  readonly author: SiteName;
  readonly dot: bigint;
  readonly at: number;
  readonly kind: "put" | "remove";
  readonly hash: string;
  /** This site's clock minus the author's, ms: expiry is in the author's. */
  readonly offsetMs: number;
  /** Bytes of its value; undefined: they were not at hand, because it is a remove, or shows, or never came. */
  readonly bytes: number | undefined;
}

/** One conflict as this site saw it: concurrent versions of a key, and what shows. */
export interface ConflictRow {
  readonly cache: CacheName;
  readonly key: Key;
  /** When it was found here, ms since the epoch. */
  readonly foundAt: number;
  readonly policy: ConflictPolicy;
  readonly siblings: readonly ConflictVersion[];
  /** Author of what shows; "(merged)" for a computed value; undefined: nothing shows. */
  readonly shows: string | undefined;
  /** The operator put this author's version back, at that time. */
  readonly restored?: { readonly author: SiteName; readonly at: number };
}

/** One mutation that could not be applied here, or not be sent from here. */
export interface DeadLetterRow {
  readonly cache: CacheName;
  readonly foundAt: number;
  /** The log it came from; undefined: a local change that is too large to be sent. */
  readonly origin: SiteName | undefined;
  readonly seq: number | undefined;
  /** undefined: a whole batch that could not be decoded. */
  readonly key: Key | undefined;
  readonly dot: bigint | undefined;
  readonly reason: string;
  /** Of the batch that is kept beside the row; 0: none is. */
  readonly bytes: number;
}

/** What shows as the author of a merged value. */
export const MERGED = "(merged)";

const PAYLOAD = "payload";
const BOUNDS: JournalBounds = { rowsMax: JOURNAL_ROWS_MAX, bytesMax: JOURNAL_BYTES_MAX };

/** Conflicts and dead letters of this site, in its ledger, numbered; each kind keeps its newest rows. */
export class Journal {
  readonly #clock: Clock;
  readonly conflictRows: JournalTable<ConflictRow>;
  readonly deadLetterRows: JournalTable<DeadLetterRow>;
  /** Since this process started. */
  conflicts = 0;
  deadLetters = 0;

  constructor(ledger: Ledger, clock: Clock, bounds = BOUNDS) {
    this.#clock = clock;
    this.conflictRows = new JournalTable(ledger, "conflict", bounds);
    this.deadLetterRows = new JournalTable(ledger, "dead", bounds);
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
    const values = new Map<SiteName, Uint8Array>();
    for (const { author, value } of versions.siblings) {
      if (value !== undefined && value !== valueOf(shows)) values.set(author, value);
    }
    const siblings = versions.siblings.map((s) => versionOf(s, values.get(s.author)?.length));
    const shown = shows?.kind === "merged" ? MERGED : shows?.author;
    const foundAt = this.#clock.now();
    this.conflictRows.add({ cache, key, foundAt, policy, siblings, shows: shown }, values);
  }

  /** Staged. */
  addDeadLetter(letter: DeadLetter): void {
    this.deadLetters += 1;
    const { payload, ...row } = letter;
    const foundAt = this.#clock.now();
    const blobs = new Map([[PAYLOAD, payload]]);
    this.deadLetterRows.add({ ...row, foundAt, bytes: payload.length }, blobs);
  }

  /** Staged: a change of this site that is above the limit. */
  addUnsendable(cache: CacheName, key: Key, bytes: number): void {
    this.deadLetters += 1;
    const reason = `the value has ${bytes} bytes, more than limits.maxValueBytes`;
    const foundAt = this.#clock.now();
    const [origin, seq, dot] = [undefined, undefined, undefined];
    this.deadLetterRows.add({ cache, key, foundAt, reason, origin, seq, dot, bytes: 0 });
  }

  /** The value of a version that lost, if it is kept. */
  lostValue(id: number, author: SiteName): Uint8Array | undefined {
    return this.conflictRows.blob(id, author);
  }

  /** The batch of a dead letter, if it has one. */
  payload(id: number): Uint8Array | undefined {
    return this.deadLetterRows.blob(id, PAYLOAD);
  }

  /** Newest last. */
  allConflicts(): Array<[number, ConflictRow]> {
    return [...this.conflictRows.newest()].toReversed();
  }

  /** Newest last. */
  allDeadLetters(): Array<[number, DeadLetterRow]> {
    return [...this.deadLetterRows.newest()].toReversed();
  }
}

const valueOf = (shows: Shown): Uint8Array | undefined =>
  shows?.kind === "merged" ? undefined : shows?.value;

function versionOf(sibling: Sibling, bytes: number | undefined): ConflictVersion {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs } = sibling;
  return { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, bytes };
}
