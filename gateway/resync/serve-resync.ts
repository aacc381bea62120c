import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import {
  FETCH_BYTES_MAX,
  RESYNC_BUCKETS_MAX,
  RESYNC_KEYS_MAX,
  RESYNC_LIST_BYTES_MAX,
  RESYNC_RANGES_MAX,
  RESYNC_ROWS_MAX,
} from "../../topology/limits.ts";
import { controlSubject, type CacheName, type SiteName } from "../../topology/names.ts";
import type { Bus, Clock, PeerEntry } from "../../topology/ports.ts";
import { type Comparing, whoLacks } from "../../topology/version/compare.ts";
import { coversAll } from "../../topology/version/context.ts";
import { type Context, type Key, withoutValue } from "../../topology/version/entry.ts";
import { BUCKET_BYTES, bucketDigests, bucketOf, differingBuckets } from "./buckets.ts";
import {
  inOurClock,
  keyDigests,
  mergeAll,
  rangeDigest,
  type ResyncCache,
  sideOf,
  entryBytes,
} from "./resync-cache.ts";
import {
  type Asking,
  decodeDigestQuestion,
  decodeDoneQuestion,
  decodeExchangeQuestion,
  decodeKeysQuestion,
  decodePushQuestion,
  type DigestAnswer,
  type DigestQuestion,
  encodeDigestAnswer,
  encodeExchangeAnswer,
  encodeKeysAnswer,
  encodePushAnswer,
  type ExchangeAnswer,
  type ExchangeQuestion,
  type KeysAnswer,
  type Wanted,
} from "./resync-messages.ts";

/** The verbs that a resync asks a peer. */
export const RESYNC_VERBS = {
  digest: "resync-digest",
  keys: "resync-keys",
  exchange: "resync-exchange",
  push: "resync-push",
  done: "resync-done",
} as const;

/** Keys whose values are read before the bytes of an answer are looked at. */
const TOLD_AT_ONCE = 32;

/** What {@link serveResync} needs of its site. */
export interface ServeResyncParts {
  readonly site: SiteName;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly cache: (name: CacheName) => ResyncCache | undefined;
  /** This site's clock minus the peer's, ms. */
  readonly offsetMs: (peer: SiteName) => number;
}

/**
 * Answers the peers that compare a cache with this site. It keeps nothing between two questions: each is about a range of
 * keys, bounded in rows and bytes. The returned function ends it.
 */
export function serveResync(parts: ServeResyncParts): () => void {
  const { bus, site } = parts;
  const serve = (verb: string, answer: (payload: Uint8Array) => Promise<Uint8Array>) =>
    bus.serve(controlSubject(site, verb), answer);
  const ends = [
    serve(RESYNC_VERBS.digest, async (payload) => {
      const question = decodeDigestQuestion(payload);
      return encodeDigestAnswer(await digests(parts, agreed(parts, question), question));
    }),
    serve(RESYNC_VERBS.keys, async (payload) => {
      const question = decodeKeysQuestion(payload);
      const here = agreed(parts, question);
      const by = comparing(parts, here, question.level);
      const bounds = { clock: parts.clock, bytesMax: RESYNC_LIST_BYTES_MAX };
      const found = await keyDigests(here.rows, question, by, bounds);
      return encodeKeysAnswer(ofBuckets(found, question.buckets));
    }),
    serve(RESYNC_VERBS.exchange, async (payload) => {
      const question = decodeExchangeQuestion(payload);
      return encodeExchangeAnswer(await exchange(parts, agreed(parts, question), question));
    }),
    serve(RESYNC_VERBS.push, async (payload) => {
      const question = decodePushQuestion(payload);
      const here = agreed(parts, question);
      const refusal = here.refuses(question.site);
      if (refusal !== undefined) throw refusal;
      const offsetMs = parts.offsetMs(question.site);
      const entries = atMost(question.entries).map((entry) => inOurClock(entry, offsetMs));
      return encodePushAnswer((await mergeAll(here.hands, entries)).failed);
    }),
    serve(RESYNC_VERBS.done, async (payload) => {
      const question = decodeDoneQuestion(payload);
      agreed(parts, question).madeUp(question.site, question.logEnd);
      return encodePushAnswer([]);
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** Only the keys of the buckets that differ; all of a range that goes on, and for more buckets than anybody asks for. */
function ofBuckets(
  { keys, cutAt }: Pick<KeysAnswer, "keys" | "cutAt">,
  theirs: Uint8Array,
): KeysAnswer {
  const count = Math.floor(theirs.length / BUCKET_BYTES);
  const isUsable = count > 0 && count <= RESYNC_BUCKETS_MAX;
  if (!isUsable || cutAt !== undefined) return { keys, cutAt, buckets: undefined };
  const buckets = differingBuckets(bucketDigests(keys, count), theirs);
  const isOf = new Set(buckets);
  const some = [...keys].filter(([key]) => isOf.has(bucketOf(key, count)));
  return { keys: new Map(some), cutAt, buckets };
}

/** @throws PeerRefused if both would not decide alike, or this site is not ready */
function agreed({ site, cache }: ServeResyncParts, asking: Asking): ResyncCache {
  const refuse = (why: string): IsthmusError => new IsthmusError(ErrorCode.PeerRefused, why);
  const here = cache(asking.cache);
  if (here === undefined) throw refuse(`${site} does not handle cache ${asking.cache}`);
  if (here.policyHash !== asking.policyHash) {
    throw refuse(`${site} decides conflicts of ${asking.cache} by another policy`);
  }
  if (here.mediaType === undefined || (!here.isReady && !asking.isRebuilding)) {
    throw refuse(`${asking.cache} at ${site} is not ready: it is being opened, or recovers`);
  }
  if (here.mediaType !== asking.mediaType) {
    throw refuse(
      `${asking.cache} stores ${here.mediaType} at ${site}, and ${asking.mediaType} at ${asking.site}`,
    );
  }
  return here;
}

/** @throws PeerRefused if the level is above this site's floor: it lost its ledger since it was asked for it */
function comparing(
  { site, clock }: ServeResyncParts,
  here: ResyncCache,
  level: Context,
): Comparing {
  if (!coversAll(here.floor, level)) {
    throw new IsthmusError(ErrorCode.PeerRefused, `the floor of ${site} is lower by now`);
  }
  return { level, now: clock.now(), copies: here.copies };
}

async function digests(
  parts: ServeResyncParts,
  here: ResyncCache,
  question: DigestQuestion,
): Promise<DigestAnswer> {
  const { floor, dot, logEnd } = here;
  const self = { floor, dot, logEnd, isLevel: here.isLevelBut(question.site) };
  const found: Uint8Array[] = [];
  let rowsLeft = RESYNC_ROWS_MAX;
  let { after } = question;
  for (const upTo of question.bounds.slice(0, RESYNC_RANGES_MAX)) {
    const by = comparing(parts, here, question.level);
    const limits = { clock: parts.clock, rowsMax: Math.max(1, rowsLeft) };
    const { digest, rows, cutAt } = await rangeDigest(here.rows, { after, upTo }, by, limits);
    found.push(digest);
    if (cutAt !== undefined) return { ...self, digests: found, cutAt };
    rowsLeft -= rows;
    after = upTo;
    // Ranges are small: each is one slice of work, after which others get a turn.
    await parts.clock.sleep(0);
  }
  return { ...self, digests: found, cutAt: undefined };
}

async function exchange(
  parts: ServeResyncParts,
  here: ResyncCache,
  question: ExchangeQuestion,
): Promise<ExchangeAnswer> {
  const by = comparing(parts, here, question.level);
  const answer = { entries: [] as PeerEntry[], wants: [] as Key[], unsettled: [] as Key[] };
  let [done, lacking, bytes] = [0, 0, 0];
  const sides = atMost(question.sides);
  while (done < sides.length && bytes < FETCH_BYTES_MAX) {
    const judged = sides.slice(done, done + TOLD_AT_ONCE).map(([key, theirs]) => {
      const lacks = whoLacks(sideOf(here, key, by), theirs, question.level);
      return question.wanted === "replacement"
        ? { key, mine: false, theirs: true }
        : { key, ...lacks };
    });
    const asked = judged.filter(({ theirs }) => theirs).map(({ key }) => key);
    const told = new Map<Key, PeerEntry>();
    for (const entry of await tell(here, asked, question.wanted)) told.set(entry.key, entry);
    for (const { key, mine, theirs } of judged) {
      if (bytes >= FETCH_BYTES_MAX) break;
      done += 1;
      if (mine) answer.wants.push(key);
      if (!theirs) continue;
      lacking += 1;
      const entry = told.get(key);
      if (entry !== undefined) answer.entries.push(entry);
      else if (question.wanted !== "number") answer.unsettled.push(key);
      bytes += entry === undefined ? 0 : entryBytes(entry);
    }
  }
  return { done, lacking, ...answer };
}

async function tell(
  here: ResyncCache,
  keys: readonly Key[],
  wanted: Wanted,
): Promise<readonly PeerEntry[]> {
  if (keys.length === 0 || wanted === "number") return [];
  if (wanted !== "versions") return here.hands.tell(keys);
  const { floor } = here;
  return keys.map((key) => {
    const entry = here.rows.get(key);
    const siblings = entry?.siblings.map(withoutValue) ?? [];
    return { key, floor, versions: entry && { context: entry.context, siblings } };
  });
}

function atMost<T>(items: readonly T[]): readonly T[] {
  if (items.length <= RESYNC_KEYS_MAX) return items;
  const found = `${items.length} keys in one question, at most ${RESYNC_KEYS_MAX} may be`;
  throw new IsthmusError(ErrorCode.PeerRefused, found);
}
