import { TRACE_CLOCK_SLACKS_MS, TRACE_RECORDS_MAX } from "../../topology/limits.ts";
import { decodeBatch, type Batch } from "../../topology/mutation/batch.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import { logSubject, logSubjects, type CacheName, type SiteName } from "../../topology/names.ts";
import type { LogMirror, SiteLog, StoredMessage } from "../../topology/ports.ts";
import { dotMs } from "../../topology/version/dot.ts";
import type { Dot, Key } from "../../topology/version/entry.ts";

/** A log, or a mirror of one: both hold the origin's sequences. */
export type Stream = Pick<SiteLog | LogMirror, "state" | "window">;

/** Where a version is in a log. */
export interface FoundVersion {
  readonly seq: number;
  /** ms since the epoch, in the origin's NATS server's clock. */
  readonly storedAtMs: number;
  readonly incarnation: string;
  readonly mutation: Mutation;
}

/** Sequences that are read at a time: each is a round trip. */
const STEP = 64;

/**
 * Looks for one version of a key in its author's log, or in a mirror of that: from where the log stood at the dot's time on,
 * as the dots of a cache rise with its sequences. undefined: it is not there, because it never came, was replaced by a later
 * write of the key before it was sent, or was trimmed.
 */
export async function findVersion(
  stream: Stream,
  { origin, cache, key, dot }: { origin: SiteName; cache: CacheName; key: Key; dot: Dot },
): Promise<FoundVersion | undefined> {
  const state = await stream.state();
  if (state === undefined || state.lastSeq < state.firstSeq) return undefined;
  const subject = logSubject(origin, cache);
  for (const slackMs of TRACE_CLOCK_SLACKS_MS) {
    const from = await firstAt(stream, origin, state, dotMs(dot) - slackMs);
    let isBefore = false;
    for await (const record of recordsFrom(stream, subject, from, state.lastSeq)) {
      const batch = batchOf(record);
      const mutation = batch?.mutations.find((m) => m.dot === dot && m.key === key);
      if (batch === undefined || batch.mutations.length === 0) continue;
      if (mutation !== undefined) return foundIn(record, batch, mutation);
      if (batch.mutations.every((m) => m.dot > dot)) break;
      isBefore = true;
    }
    // When what comes first is later already, the clocks lie further apart: look from further back.
    if (isBefore || from <= state.firstSeq) return undefined;
  }
  return undefined;
}

async function* recordsFrom(
  stream: Stream,
  subject: string,
  from: number,
  lastSeq: number,
): AsyncGenerator<StoredMessage> {
  let read = 0;
  for (let after = from - 1; after < lastSeq && read < TRACE_RECORDS_MAX; after += STEP) {
    const records = await stream.window(subject, after, Math.min(after + STEP, lastSeq));
    read += records.length;
    yield* records;
  }
}

function foundIn(record: StoredMessage, { header }: Batch, mutation: Mutation): FoundVersion {
  const { seq, storedAtMs } = record;
  return { seq, storedAtMs, incarnation: header.incarnation, mutation };
}

/** The first sequence that was stored at `ms` or later, of any cache. */
async function firstAt(
  stream: Stream,
  origin: SiteName,
  { firstSeq, lastSeq }: { firstSeq: number; lastSeq: number },
  ms: number,
): Promise<number> {
  let [low, high] = [firstSeq, lastSeq];
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [record] = await stream.window(logSubjects(origin), middle - 1, middle);
    if (record !== undefined && record.storedAtMs >= ms) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** What cannot be decoded is a dead letter, and told as such. */
function batchOf({ payload }: StoredMessage): Batch | undefined {
  try {
    return decodeBatch(payload);
  } catch {
    return undefined;
  }
}
