import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { APPLY_RACES_MAX } from "../../topology/limits.ts";
import type { CacheName, SiteName } from "../../topology/names.ts";
import type { CacheState, Clock, Ledger, Logger } from "../../topology/ports.ts";
import type { Entry } from "../../topology/version/entry.ts";
import { ClientWrite, type ClientWritten, type OperatedCache } from "./client-write.ts";
import { type ConflictRow, type ConflictVersion, type Journal, MERGED } from "../site/journal.ts";

/** What {@link ConflictRestore} needs of its site. */
export interface RestoreParts {
  readonly site: SiteName;
  readonly journal: Journal;
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly logger: Logger;
  /** @throws OperationRefused for a cache that is not handled here, or not now */
  readonly cache: (name: CacheName) => OperatedCache;
}

/** Which of a conflict's versions is to come back. */
export interface RestoreQuestion {
  readonly id: number;
  /** Whose version; undefined: the only one that lost. */
  readonly author: SiteName | undefined;
  /** Also over what was written since the conflict. */
  readonly overChanged: boolean;
}

/** How a restore ended; `changed`: nothing was done, because the key was written since the conflict. */
export type RestoreOutcome = "restored" | "written" | "already" | "changed";

/** A restore's end, and what it is about. */
export interface Restored {
  readonly outcome: RestoreOutcome;
  readonly row: ConflictRow;
  readonly version: ConflictVersion;
  /** Of the new write, once captured. */
  readonly dot: bigint | undefined;
  /** What the cache held before; undefined: nothing. */
  readonly before: { readonly hash: string; readonly bytes: number } | undefined;
}

/** Puts a version that lost a conflict back, as a new write of this site: it supersedes what shows, everywhere. */
export class ConflictRestore {
  readonly #parts: RestoreParts;

  constructor(parts: RestoreParts) {
    this.#parts = parts;
  }

  /** @throws JournalRowMissing, OperationRefused, UsageInvalid (which of several), and what the cache throws */
  async restore(question: RestoreQuestion): Promise<Restored> {
    const { journal, site, ledger, clock, logger } = this.#parts;
    const { id } = question;
    const row = journal.conflictRows.get(id);
    if (row === undefined) throw missingRow("conflict", site, id);
    const version = chosen(row, question.author);
    const cache = this.#parts.cache(row.cache);
    const value = version.kind === "put" ? this.#valueOf(id, row, version, cache) : undefined;
    const { outcome, dot, before } = await this.#write(row, version, value, question, cache);
    if (outcome === "restored" || outcome === "written") {
      const restored = { author: version.author, at: clock.now() };
      journal.conflictRows.set(id, { ...row, restored });
      await ledger.commit();
      const { author } = version;
      logger.warn(
        { cache: row.cache, conflict: id, author, dot: dot?.toString() },
        "the operator put back a version that had lost a conflict",
      );
    }
    return { outcome, row, version, dot, before };
  }

  async #write(
    row: ConflictRow,
    version: ConflictVersion,
    value: Uint8Array | undefined,
    { overChanged }: RestoreQuestion,
    cache: OperatedCache,
  ): Promise<Pick<Restored, "outcome" | "dot" | "before">> {
    const { site, clock } = this.#parts;
    const { key } = row;
    const write = new ClientWrite(cache, site, clock);
    for (let race = 0; race < APPLY_RACES_MAX; race++) {
      const state = await cache.connector.read(key);
      const before = state && { hash: cache.hash(state.value), bytes: state.value.length };
      if ((before?.hash ?? "") === version.hash)
        return { outcome: "already", dot: undefined, before };
      if (!overChanged && isChanged(row, cache.rows.get(key), before?.hash)) {
        return { outcome: "changed", dot: undefined, before };
      }
      const written = await put(write, row, version, state, value);
      if (written.is === "captured") return { outcome: "restored", dot: written.dot, before };
      if (written.is === "written") return { outcome: "written", dot: undefined, before };
    }
    throw new IsthmusError(
      ErrorCode.ApplyRaced,
      `the key is written so often that the restore lost ${APPLY_RACES_MAX} times in a row`,
    );
  }

  #valueOf(
    id: number,
    row: ConflictRow,
    { author, dot, expiresAt, offsetMs }: ConflictVersion,
    cache: OperatedCache,
  ): Uint8Array {
    const { journal, clock, site } = this.#parts;
    if (expiresAt !== 0 && expiresAt + offsetMs <= clock.now()) {
      const end = new Date(expiresAt + offsetMs).toISOString();
      throw refused(`the version of ${author} ended by itself at ${end}`);
    }
    const sibling = cache.rows
      .get(row.key)
      ?.siblings.find((s) => s.author === author && s.dot === dot);
    const value = journal.lostValue(id, author) ?? sibling?.value;
    if (value !== undefined) return value;
    throw refused(
      `${site} has no bytes of ${author}'s version of that key`,
      "Another site may have them: see its row of the same conflict in `isthmus conflicts`.",
    );
  }
}

function put(
  write: ClientWrite,
  { key }: ConflictRow,
  { expiresAt, offsetMs, maxIdleMs }: ConflictVersion,
  state: CacheState | undefined,
  value: Uint8Array | undefined,
): Promise<ClientWritten> {
  if (value !== undefined) {
    const end = expiresAt === 0 ? 0 : expiresAt + offsetMs;
    return write.put(key, state, value, { expiresAt: end, maxIdleMs });
  }
  // A missing key was "already".
  if (state === undefined) throw new Error("isthmus bug: a remove of a missing key");
  return write.remove(key, state);
}

/** The versions of a conflict that do not show. */
export const losersOf = ({ siblings, shows }: ConflictRow): readonly ConflictVersion[] =>
  siblings.filter(({ author, kind }) => (shows === MERGED ? kind === "put" : author !== shows));

function chosen(row: ConflictRow, author: SiteName | undefined): ConflictVersion {
  const losers = losersOf(row);
  const [only] = losers;
  const names = losers.map((s) => s.author).join(", ");
  if (author === undefined) {
    if (only !== undefined && losers.length === 1) return only;
    throw new IsthmusError(
      ErrorCode.UsageInvalid,
      `${losers.length} versions of that key lost, name one of them: ${names}`,
      { hint: "--author SITE" },
    );
  }
  const found = losers.find((s) => s.author === author);
  if (found !== undefined) return found;
  throw new IsthmusError(
    ErrorCode.UsageInvalid,
    `no version of ${author} lost that conflict, expected one of ${names}`,
  );
}

/** Whether the key is no longer as the conflict left it. */
function isChanged(row: ConflictRow, entry: Entry | undefined, hash: string | undefined): boolean {
  const versions = (siblings: ReadonlyArray<{ author: SiteName; dot: bigint }>) =>
    siblings.map(({ author, dot }) => `${author}/${dot}`).join();
  if (versions(entry?.siblings ?? []) !== versions(row.siblings)) return true;
  return (entry?.presence === "live" ? entry.held?.hash : undefined) !== hash;
}

/** The journal of a site has no row of that number. */
export const missingRow = (
  what: "conflict" | "dead letter",
  site: SiteName,
  id: number,
): IsthmusError =>
  new IsthmusError(ErrorCode.JournalRowMissing, `${site} has no ${what} ${id}, or no longer`);

/** An operator's command cannot be done. */
export const refused = (why: string, hint?: string): IsthmusError =>
  new IsthmusError(ErrorCode.OperationRefused, why, hint === undefined ? {} : { hint });
