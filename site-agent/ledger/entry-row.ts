import { assert } from "../../topology/errors.ts";
import type { SiteName } from "../../topology/names.ts";
import { dotMs } from "../../topology/version/dot.ts";
import type { Dot, Entry, Held, Sibling } from "../../topology/version/entry.ts";
import { corrupt, type RowReader, type RowWriter } from "./row-bytes.ts";

/** Site names as small numbers, the same for as long as the ledger lives. */
export interface SiteIds {
  idOf(site: SiteName): number;
  /** undefined: no such id. */
  siteOf(id: number): SiteName | undefined;
}

const HASH_BYTES = 16;
const PRESENCES = ["live", "tombstone", "absent"] as const;

/** First byte of a row: presence in the lowest two bits, then what is held. */
const HELD = 4;
const TOKEN_KNOWN = 8;
const TOKEN_ZERO = 16;

/** First byte of a sibling. */
const PUT = 1;
const DOT_AS_SEEN = 2;
const AT_IN_DOT = 4;
const EXPIRES = 8;
const IDLES = 16;
const OFFSET = 32;
const VALUE = 64;

/**
 * Writes an entry: flags, outbox sequence, context (count, then site id and dot), siblings (count, then each), what is held.
 * Nothing is written twice: an author's dot is the context's, as is nearly always so; `at` is the dot's; a hash that is a
 * sibling's is a reference to it. A common entry takes about 60 bytes.
 */
export function writeEntry(row: RowWriter, entry: Entry, sites: SiteIds): void {
  const { presence, held, context, siblings } = entry;
  const token = held?.token;
  row.byte(
    PRESENCES.indexOf(presence) |
      (held ? HELD : 0) |
      (token === undefined ? 0 : TOKEN_KNOWN) |
      (token === 0n ? TOKEN_ZERO : 0),
  );
  row.count(entry.outboxSeq);
  row.count(context.size);
  for (const [site, dot] of context) {
    row.count(sites.idOf(site));
    row.uint64(dot);
  }
  row.count(siblings.length);
  for (const sibling of siblings) {
    writeSibling(row, sibling, context.get(sibling.author), sites);
  }
  if (held) writeHeld(row, held, siblings);
}

/** The inverse of {@link writeEntry}. @throws IS2024 */
export function readEntry(row: RowReader, sites: SiteIds): Entry {
  const flags = row.byte();
  const presence = PRESENCES[flags & 3];
  if (presence === undefined) throw corrupt("of unknown presence");
  const outboxSeq = row.count();
  const context = new Map<SiteName, Dot>();
  for (let n = row.count(); n > 0; n--) context.set(readSite(row, sites), row.uint64());
  const siblings: Sibling[] = [];
  for (let n = row.count(); n > 0; n--) siblings.push(readSibling(row, context, sites));
  const held = (flags & HELD) === 0 ? undefined : readHeld(row, flags, siblings);
  return { presence, held, outboxSeq, context, siblings };
}

function writeSibling(
  row: RowWriter,
  sibling: Sibling,
  seen: Dot | undefined,
  sites: SiteIds,
): void {
  const { author, dot, at, kind, hash, expiresAt, maxIdleMs, offsetMs, value } = sibling;
  const late = at - dotMs(dot);
  row.count(sites.idOf(author));
  row.byte(
    (kind === "put" ? PUT : 0) |
      (dot === seen ? DOT_AS_SEEN : 0) |
      (late === 0 ? AT_IN_DOT : 0) |
      (expiresAt === 0 ? 0 : EXPIRES) |
      (maxIdleMs === 0 ? 0 : IDLES) |
      (offsetMs === 0 ? 0 : OFFSET) |
      (value ? VALUE : 0),
  );
  if (dot !== seen) row.uint64(dot);
  if (late !== 0) row.whole(late);
  if (kind === "put") row.bytes(hashBytes(hash));
  if (expiresAt !== 0) row.whole(expiresAt - at);
  if (maxIdleMs !== 0) row.count(maxIdleMs);
  if (offsetMs !== 0) row.whole(offsetMs);
  if (value) row.sized(value);
}

function readSibling(row: RowReader, context: ReadonlyMap<SiteName, Dot>, sites: SiteIds): Sibling {
  const author = readSite(row, sites);
  const flags = row.byte();
  const has = (flag: number) => (flags & flag) !== 0;
  const dot = has(DOT_AS_SEEN) ? context.get(author) : row.uint64();
  if (dot === undefined) throw corrupt("a version's dot is not in the context");
  const at = dotMs(dot) + (has(AT_IN_DOT) ? 0 : row.whole());
  const hash = has(PUT) ? row.hex(HASH_BYTES) : "";
  const expiresAt = has(EXPIRES) ? at + row.whole() : 0;
  const maxIdleMs = has(IDLES) ? row.count() : 0;
  const offsetMs = has(OFFSET) ? row.whole() : 0;
  const version = { author, dot, at, hash, expiresAt, maxIdleMs, offsetMs };
  const kind = has(PUT) ? "put" : "remove";
  return has(VALUE) ? { ...version, kind, value: row.sized() } : { ...version, kind };
}

/** The hash as 1 + the index of a sibling with it, or 0 and its bytes; then the rest. */
function writeHeld(row: RowWriter, held: Held, siblings: readonly Sibling[]): void {
  const same = siblings.findIndex((sibling) => sibling.hash === held.hash);
  row.count(same + 1);
  if (same < 0) row.bytes(hashBytes(held.hash));
  if (held.token) row.int64(held.token);
  row.count(held.seenBy);
  row.count(held.expiresAt);
  row.count(held.maxIdleMs);
}

function readHeld(row: RowReader, flags: number, siblings: readonly Sibling[]): Held {
  const same = row.count();
  const hash = same === 0 ? row.hex(HASH_BYTES) : siblings[same - 1]?.hash;
  if (hash === undefined) throw corrupt("what is held refers to no version");
  const known = (flags & TOKEN_KNOWN) !== 0;
  const token = !known ? undefined : (flags & TOKEN_ZERO) !== 0 ? 0n : row.int64();
  return {
    hash,
    token,
    seenBy: row.count(),
    expiresAt: row.count(),
    maxIdleMs: row.count(),
  };
}

function readSite(row: RowReader, sites: SiteIds): SiteName {
  const id = row.count();
  const site = sites.siteOf(id);
  if (site === undefined) throw corrupt(`site ${id} is in no dictionary`);
  return site;
}

function hashBytes(hash: string): Buffer {
  const bytes = Buffer.from(hash, "hex");
  assert(bytes.length === HASH_BYTES, () => `a value hash is ${JSON.stringify(hash)}`);
  return bytes;
}
