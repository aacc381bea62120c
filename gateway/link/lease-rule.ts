import { Packr } from "msgpackr";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { LEASE_MARGIN_MS } from "../../topology/limits.ts";

/** Which process it is, for people. */
export interface LeaseHolder {
  readonly host: string;
  readonly pid: number;
  /** ms since the epoch, in the holder's clock. */
  readonly startedAt: number;
  /** Drawn at each start: equality only. */
  readonly holderId: string;
}

/** The lease as it is stored. */
export interface LeaseRecord extends LeaseHolder {
  /** Revision of the write that acquired it; 0 in that very write, whose revision is not known before. */
  readonly term: number;
  /** How long each write of it is good, counted from before the write began. */
  readonly ttlMs: number;
  /** The holder has stopped in good order: nobody need wait. */
  readonly released: boolean;
}

/** A lease as a process saw it. */
export interface SeenLease {
  readonly record: LeaseRecord;
  readonly revision: number;
  /** When this process first saw this revision, on its own monotonic clock. */
  readonly seenAtMs: number;
}

/** The process that worked on this one's ledger before it, which is dead: a ledger has one owner. */
export interface Predecessor {
  readonly host: string;
  readonly holderId: string;
  /** On this process's monotonic clock, ms: when the last operation that it began is over. */
  readonly overMs: number;
}

/** What a process that wants the lease does next. */
export type AcquireStep =
  /** Write, expecting this revision (0: no lease yet). */
  | { readonly kind: "write"; readonly expectedRevision: number }
  /** Look again, at the latest at this time on the monotonic clock. */
  | { readonly kind: "wait"; readonly untilMs: number }
  /** The holder is alive, and this process is not to wait for it. */
  | { readonly kind: "refuse"; readonly holder: LeaseHolder };

/**
 * The rule of acquisition, total and pure.
 *
 * A revision was written before this process saw it, and its deadline was counted from before that write: so once `ttlMs`
 * has passed since it was seen, its holder's deadline is over, whatever the two wall clocks say. A second revision by the
 * same holder proves that it is alive; one revision does not, its process may have crashed just now. Of a predecessor it is
 * known that it is dead, so only its last operations are waited out.
 */
export function decideAcquire(
  first: SeenLease | undefined,
  seen: SeenLease | undefined,
  nowMs: number,
  standby: boolean,
  predecessor?: Predecessor,
): AcquireStep {
  if (seen === undefined) return { kind: "write", expectedRevision: 0 };
  const { record, revision, seenAtMs } = seen;
  if (record.released) return { kind: "write", expectedRevision: revision };
  const isDead = record.holderId === predecessor?.holderId && record.host === predecessor.host;
  const isAlive = !isDead && first !== undefined && first.revision !== revision;
  if (isAlive && !standby) return { kind: "refuse", holder: record };
  const ranOutMs = seenAtMs + record.ttlMs + LEASE_MARGIN_MS;
  const untilMs = isDead ? Math.min(ranOutMs, predecessor.overMs) : ranOutMs;
  return nowMs >= untilMs
    ? { kind: "write", expectedRevision: revision }
    : { kind: "wait", untilMs };
}

/** What a renewal that did not go through means, from a fresh read: still ours (at this revision), or lost to somebody. */
export function decideRenew(
  holderId: string,
  found: { readonly record: LeaseRecord; readonly revision: number } | undefined,
): { readonly kind: "ours"; readonly revision: number } | { readonly kind: "lost" } {
  if (found === undefined || found.record.holderId !== holderId) return { kind: "lost" };
  return { kind: "ours", revision: found.revision };
}

// Plain maps, so that any msgpack reader can show a lease.
const packr = new Packr({ useRecords: false });

/** A record as it is stored: a msgpack map of its fields. */
export const encodeLease = (record: LeaseRecord): Uint8Array => packr.pack(record);

/** The inverse of {@link encodeLease}. @throws PeerMessageInvalid */
export function decodeLease(bytes: Uint8Array): LeaseRecord {
  let found: unknown;
  try {
    found = packr.unpack(bytes);
  } catch (cause) {
    throw notALease(cause);
  }
  if (!isLease(found)) throw notALease(undefined);
  return found;
}

const isLease = (found: unknown): found is LeaseRecord => {
  if (typeof found !== "object" || found === null) return false;
  const { host, pid, startedAt, holderId, term, ttlMs, released } = found as Partial<LeaseRecord>;
  return (
    [host, holderId].every((it) => typeof it === "string") &&
    [pid, startedAt, term, ttlMs].every((it) => typeof it === "number") &&
    typeof released === "boolean"
  );
};

const notALease = (cause: unknown): IsthmusError =>
  new IsthmusError(
    ErrorCode.PeerMessageInvalid,
    "the site's lease cannot be read: another version of Isthmus wrote it",
    { hint: "stop every process of this site, then delete key `lease` in its bucket", cause },
  );

/** `host mx1, pid 4711, started 2026-08-01T10:00:00.000Z`. */
export const describeHolder = ({ host, pid, startedAt }: LeaseHolder): string =>
  `host ${host}, pid ${pid}, started ${new Date(startedAt).toISOString()}`;
