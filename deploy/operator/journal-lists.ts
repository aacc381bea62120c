import {
  JOURNAL_ANSWER_BYTES_MAX,
  JOURNAL_ANSWER_ROWS_MAX,
  JOURNAL_BYTES_MAX,
  JOURNAL_ROWS_MAX,
  LEDGER_PAGE_ROWS,
} from "../../topology/limits.ts";
import { protostreamText, showKey } from "../../topology/key-text.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { ConflictPolicy } from "../../topology/policy/conflict.ts";
import type { Clock } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { ConflictRow, ConflictVersion, DeadLetterRow, Journal } from "../site/journal.ts";
import type { JournalTable } from "../site/journal-table.ts";
import { losersOf } from "./conflict-restore.ts";

/** One version as an operator sees it: values are secrets, so only their sizes and hashes. Times in ms since the epoch. */
export interface VersionView {
  readonly author: SiteName;
  /** Decimal. */
  readonly dot: string;
  readonly at: number;
  readonly kind: "put" | "remove";
  readonly hash: string;
  /** null: not known here. */
  readonly bytes: number | null;
  /** In the author's clock; 0 is never. */
  readonly expiresAt: number;
  readonly maxIdleMs: number;
}

/** One conflict of a site's journal. */
export interface ConflictView {
  /** `SITE:NUMBER`. */
  readonly id: string;
  readonly cache: CacheName;
  readonly key: string;
  /** null: the key is no string of application/x-protostream. */
  readonly keyText: string | null;
  readonly foundAt: number;
  readonly policy: ConflictPolicy;
  /** Author of what showed; "(merged)" for a computed value; null: nothing did. */
  readonly shows: string | null;
  readonly versions: readonly VersionView[];
  /** Authors of what did not show. */
  readonly lost: readonly SiteName[];
  readonly restored: { readonly author: SiteName; readonly at: number } | null;
}

/** One dead letter of a site's journal. */
export interface DeadLetterView {
  /** `SITE:NUMBER`. */
  readonly id: string;
  readonly cache: CacheName;
  /** null: a whole batch that could not be decoded. */
  readonly key: string | null;
  /** null: it is no string of application/x-protostream. */
  readonly keyText: string | null;
  readonly foundAt: number;
  /** The log it came from; null: a change of this site that is too large to be sent. */
  readonly origin: SiteName | null;
  readonly seq: number | null;
  readonly reason: string;
  /** Of the batch that is kept of it. */
  readonly bytes: number;
}

/** What a site's journal keeps of one kind, and what its bounds took. */
export interface Kept {
  readonly rows: number;
  readonly rowsMax: number;
  readonly bytes: number;
  readonly bytesMax: number;
  /** Rows that went because newer ones needed their room. */
  readonly dropped: number;
}

/** One site's answer; rows newest first. */
export interface JournalList<View> {
  readonly site: SiteName;
  readonly rows: readonly View[];
  /** There are older rows than fit into an answer. */
  readonly isCut: boolean;
  readonly kept: Kept;
}

/** Which rows are asked for. */
export interface JournalFilter {
  readonly cache: CacheName | undefined;
  /** ms since the epoch. */
  readonly since: number | undefined;
}

/** Lists a site's journal. */
export class JournalLists {
  readonly #site: SiteName;
  readonly #journal: Journal;
  readonly #clock: Clock;

  constructor(site: SiteName, journal: Journal, clock: Clock) {
    this.#site = site;
    this.#journal = journal;
    this.#clock = clock;
  }

  conflicts(filter: JournalFilter): Promise<JournalList<ConflictView>> {
    const table = this.#journal.conflictRows;
    return this.#list(table, filter, (id, row) => this.#conflict(id, row));
  }

  deadLetters(filter: JournalFilter): Promise<JournalList<DeadLetterView>> {
    const table = this.#journal.deadLetterRows;
    return this.#list(table, filter, (id, row) => this.#deadLetter(id, row));
  }

  async #list<Row extends ConflictRow | DeadLetterRow, View>(
    table: JournalTable<Row>,
    { cache, since }: JournalFilter,
    view: (id: number, row: Row) => View,
  ): Promise<JournalList<View>> {
    const rows: View[] = [];
    let [looked, bytes, isCut] = [0, 0, false];
    for (const [id, row] of table.newest()) {
      looked += 1;
      if (looked % LEDGER_PAGE_ROWS === 0) await this.#clock.sleep(0);
      if (since !== undefined && row.foundAt < since) break;
      if (cache !== undefined && row.cache !== cache) continue;
      const shown = view(id, row);
      bytes += JSON.stringify(shown).length;
      const isFull = rows.length >= JOURNAL_ANSWER_ROWS_MAX || bytes > JOURNAL_ANSWER_BYTES_MAX;
      isCut = isFull && rows.length > 0;
      if (isCut) break;
      rows.push(shown);
    }
    const bounds = { rowsMax: JOURNAL_ROWS_MAX, bytesMax: JOURNAL_BYTES_MAX };
    return { site: this.#site, rows, isCut, kept: { ...table.size, ...bounds } };
  }

  #conflict(id: number, row: ConflictRow): ConflictView {
    const { cache, key, foundAt, policy, shows, siblings, restored } = row;
    return {
      id: `${this.#site}:${id}`,
      cache,
      key: brief(showKey(key), key),
      keyText: textIn(key),
      foundAt,
      policy,
      shows: shows ?? null,
      versions: siblings.map(versionView),
      lost: losersOf(row).map(({ author }) => author),
      restored: restored ?? null,
    };
  }

  #deadLetter(id: number, row: DeadLetterRow): DeadLetterView {
    const { cache, key, foundAt, origin, seq, reason, bytes } = row;
    return {
      id: `${this.#site}:${id}`,
      cache,
      key: key === undefined ? null : brief(showKey(key), key),
      keyText: key === undefined ? null : textIn(key),
      foundAt,
      origin: origin ?? null,
      seq: seq ?? null,
      reason,
      bytes,
    };
  }
}

/** A version without its bytes. */
export function versionView(version: Omit<ConflictVersion, "offsetMs">): VersionView {
  const { author, dot, at, kind, hash, bytes, expiresAt, maxIdleMs } = version;
  const text = dot.toString();
  return { author, dot: text, at, kind, hash, bytes: bytes ?? null, expiresAt, maxIdleMs };
}

const BRIEF_CHARS = 256;

/** A text of a key: cut when it is very long, with the key's size. */
function brief(text: string, key: Key): string {
  if (text.length <= BRIEF_CHARS) return text;
  return `${text.slice(0, BRIEF_CHARS)}… (${key.length} bytes)`;
}

function textIn(key: Key): string | null {
  const text = protostreamText(key);
  return text === undefined ? null : brief(text, key);
}
