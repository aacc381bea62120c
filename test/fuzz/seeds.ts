import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { projectRoot } from "../../deploy/lab/which.ts";
import { encodeBeat } from "../../gateway/link/heartbeat.ts";
import { encodeEntries, encodeKeys, encodeUses } from "../../gateway/resync/peer-entries.ts";
import { encodeEagerEvent } from "../../topology/hotrod/eager-event.ts";
import { encodeRequest } from "../../topology/hotrod/request.ts";
import { encodeResponse } from "../../topology/hotrod/response.ts";
import { encodeBatch, encodeTermBegin, type BatchHeader } from "../../topology/mutation/batch.ts";
import type { Mutation } from "../../topology/mutation/mutation.ts";
import * as resync from "../../gateway/resync/resync-messages.ts";
import { packPlain } from "../../topology/mutation/plain-msgpack.ts";
import type { PeerEntry } from "../../topology/ports.ts";
import { DIGEST_BYTES } from "../../topology/version/compare.ts";
import type { Sibling } from "../../topology/version/entry.ts";
import { keycloakFrames, vectorFrames } from "../support/golden-frames.ts";
import {
  OPS,
  requestArbitrary,
  responseArbitrary,
  unaskedArbitrary,
  VERSIONS,
} from "../support/hot-rod-arbitrary.ts";
import { CodecKind, WireKind } from "./targets.ts";

/** What a target's corpus begins with, and what is put into its inputs whole. */
export interface Seeds {
  readonly inputs: readonly Buffer[];
  readonly words: readonly Buffer[];
}

/** Valid inputs of a target, drawn by fast-check from `seed`, and recorded ones. */
export function seedsOf(target: string, seed: number): Seeds {
  switch (target) {
    case "codec":
      return { inputs: codecSeeds(seed), words: [] };
    case "wire":
      return { inputs: wireSeeds(seed), words: [] };
    default:
      return { inputs: fileSeeds(), words: fileWords() };
  }
}

const sample = <T>(arbitrary: fc.Arbitrary<T>, seed: number, count: number): T[] =>
  fc.sample(arbitrary, { seed, numRuns: count });

const headed = (head: readonly number[], bytes: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(head), bytes]);

function codecSeeds(seed: number): Buffer[] {
  const inputs: Buffer[] = [];
  for (const { from, bytes } of [...vectorFrames(), ...keycloakFrames()]) {
    if (from === "client") inputs.push(headed([CodecKind.Request, 0, 0, 0], bytes));
    // Which request it answers is drawn: the mutator finds the right one.
    else inputs.push(headed([CodecKind.Response, 0, 55, 0], bytes));
  }
  for (const [op, name] of OPS.entries()) {
    for (const [index, version] of VERSIONS.entries()) {
      const draw = seed + op * VERSIONS.length + index;
      for (const request of sample(requestArbitrary(name, version), draw, 2))
        inputs.push(headed([CodecKind.Request, 0, 0, draw & 0xff], encodeRequest(request)));
      const intelligence = 1 + (draw % 3);
      const layout = (index << 2) | intelligence;
      const context = { version, intelligence };
      for (const answer of sample(responseArbitrary(name, version, intelligence), draw, 2))
        inputs.push(headed([CodecKind.Response, op, layout, 0], encodeResponse(answer, context)));
    }
  }
  for (const event of sample(unaskedArbitrary, seed, 40))
    inputs.push(headed([CodecKind.Response, 0, 55, 0], encodeResponse(event)));
  const bytes = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b));
  const token = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const eager = fc.record({ key: bytes, value: bytes, token });
  for (const event of sample(eager, seed, 10))
    inputs.push(headed([CodecKind.EagerEvent, 0, 0, 0], encodeEagerEvent(event)));
  return inputs;
}

const site = fc.constantFrom("nyc", "lon", "sgp");
const ms = fc.integer({ min: 0, max: 2 ** 45 });
const dot = fc.bigInt({ min: 0n, max: 2n ** 64n - 1n });
const context = fc
  .uniqueArray(fc.tuple(site, dot), { selector: ([name]) => name })
  .map((pairs) => new Map(pairs));
const value = fc.uint8Array({ maxLength: 100 }).map((b) => Buffer.from(b));
const key = fc.uint8Array({ maxLength: 40 }).map((b) => Buffer.from(b).toString("latin1"));
const hash = fc
  .uint8Array({ minLength: 16, maxLength: 16 })
  .map((b) => Buffer.from(b).toString("hex"));

const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.record({ key, dot, context, at: ms }).map((m) => ({
    ...m,
    kind: "remove" as const,
    hash: "",
    expiresAt: 0,
    maxIdleMs: 0,
  })),
  fc.record({
    key,
    kind: fc.constant("put" as const),
    dot,
    context,
    at: ms,
    hash,
    expiresAt: ms,
    maxIdleMs: ms,
    value,
  }),
);

const header: fc.Arbitrary<BatchHeader> = fc.record({
  origin: site,
  cache: fc.string({ maxLength: 10 }),
  epoch: fc.nat(),
  term: fc.nat(),
  incarnation: fc.string({ maxLength: 10 }),
  counter: fc.nat(),
  policyHash: fc.string({ maxLength: 10 }),
  mode: fc.constantFrom("sync", "async", "invalidate"),
  offsets: fc
    .uniqueArray(fc.tuple(site, fc.integer()), { selector: ([name]) => name })
    .map((pairs) => new Map(pairs)),
  mediaType: fc.string({ maxLength: 20 }),
  held: fc.boolean(),
});

const sibling: fc.Arbitrary<Sibling> = fc.record({
  author: site,
  dot,
  at: ms,
  kind: fc.constantFrom("put", "remove"),
  hash,
  expiresAt: ms,
  maxIdleMs: ms,
  offsetMs: fc.integer(),
});

const entry: fc.Arbitrary<PeerEntry> = fc.record({
  key,
  versions: fc.option(fc.record({ context, siblings: fc.array(sibling, { maxLength: 3 }) }), {
    nil: undefined,
  }),
  floor: context,
});

const beatContent = fc.record({
  epoch: fc.nat(),
  term: fc.nat(),
  incarnation: fc.option(fc.string({ maxLength: 8 }), { nil: undefined }),
  log: fc.option(fc.record({ created: fc.string(), firstSeq: fc.nat(), lastSeq: fc.nat() }), {
    nil: undefined,
  }),
  ends: fc.dictionary(
    fc.string({ maxLength: 8 }),
    fc.record({ logSeq: fc.nat(), outboxRows: fc.nat(), dot }),
    { maxKeys: 3, noNullPrototype: true },
  ),
  applied: fc.dictionary(
    site,
    fc.dictionary(
      fc.string({ maxLength: 8 }),
      fc.record({ incarnation: fc.string({ maxLength: 8 }), seq: fc.nat(), dot }),
      { maxKeys: 3, noNullPrototype: true },
    ),
    { maxKeys: 2, noNullPrototype: true },
  ),
  policyHashes: fc.dictionary(fc.string({ maxLength: 8 }), hash, { noNullPrototype: true }),
});

const asking = {
  site,
  cache: fc.string({ maxLength: 8 }),
  policyHash: hash,
  mediaType: fc.string({ maxLength: 8 }),
  isRebuilding: fc.boolean(),
  level: context,
};
const maybeKey = fc.option(key, { nil: undefined });
const keys = fc.array(key, { maxLength: 4 });
const entries = fc.array(entry, { maxLength: 3 });
const digest = fc.uint8Array({ minLength: DIGEST_BYTES, maxLength: DIGEST_BYTES });
const count = fc.nat();

function resyncSeeds(seed: number): Buffer[] {
  const of = <T>(kind: number, encode: (message: T) => Uint8Array, message: fc.Arbitrary<T>) =>
    sample(message, seed, 20).map((drawn) => headed([kind], encode(drawn)));
  const side = fc.record({
    versions: fc.option(fc.record({ context, siblings: fc.array(sibling, { maxLength: 2 }) }), {
      nil: undefined,
    }),
    floor: context,
    isLive: fc.boolean(),
    lacksCopy: fc.boolean(),
  });
  return [
    ...of(
      WireKind.DigestQuestion,
      resync.encodeDigestQuestion,
      fc.record({ ...asking, after: maybeKey, bounds: fc.array(maybeKey, { maxLength: 4 }) }),
    ),
    ...of(
      WireKind.DigestAnswer,
      resync.encodeDigestAnswer,
      fc.record({
        floor: context,
        dot,
        isLevel: fc.boolean(),
        logEnd: fc.record({ incarnation: fc.string(), seq: fc.nat() }),
        digests: fc.array(digest, { maxLength: 4 }),
        cutAt: maybeKey,
      }),
    ),
    ...of(
      WireKind.KeysQuestion,
      resync.encodeKeysQuestion,
      fc.record({
        ...asking,
        after: maybeKey,
        upTo: maybeKey,
        buckets: fc.uint8Array({ maxLength: 24 }),
      }),
    ),
    ...of(
      WireKind.KeysAnswer,
      resync.encodeKeysAnswer,
      fc.record({
        keys: fc.array(fc.tuple(key, hash)).map((all) => new Map(all)),
        cutAt: maybeKey,
        buckets: fc.option(fc.array(fc.nat(255), { maxLength: 8 }), { nil: undefined }),
      }),
    ),
    ...of(
      WireKind.ExchangeQuestion,
      resync.encodeExchangeQuestion,
      fc.record({
        ...asking,
        floor: context,
        wanted: fc.constantFrom("number", "versions", "values"),
        sides: fc.array(fc.tuple(key, side), { maxLength: 3 }),
      }),
    ),
    ...of(
      WireKind.ExchangeAnswer,
      resync.encodeExchangeAnswer,
      fc.record({ done: count, lacking: count, entries, wants: keys, unsettled: keys }),
    ),
    ...of(WireKind.PushQuestion, resync.encodePushQuestion, fc.record({ ...asking, entries })),
    ...of(WireKind.PushAnswer, resync.encodePushAnswer, keys),
  ];
}

function wireSeeds(seed: number): Buffer[] {
  const batches = fc.tuple(header, fc.array(mutation, { maxLength: 4 }));
  const seq = fc.nat();
  const position = fc.tuple(
    fc.string({ maxLength: 8 }),
    fc.string({ maxLength: 8 }),
    seq,
    fc.array(fc.tuple(seq, seq), { maxLength: 3 }),
  );
  const uses = fc.array(fc.record({ usedAt: ms, heldUntil: ms }), { minLength: 2, maxLength: 2 });
  return [
    ...sample(batches, seed, 300).map(([h, all]) => headed([WireKind.Record], encodeBatch(h, all))),
    ...sample(header, seed, 10).map((h) => headed([WireKind.Record], encodeTermBegin(h))),
    ...sample(beatContent, seed, 200).map((content) =>
      headed([WireKind.Beat], encodeBeat({ site: "nyc", at: 1.5, count: 7, content })),
    ),
    ...sample(fc.array(position, { maxLength: 3 }), seed, 50).map((rows) =>
      headed([WireKind.Applied], packPlain([1, rows])),
    ),
    ...sample(entries, seed, 200).map((drawn) => headed([WireKind.Entries], encodeEntries(drawn))),
    ...sample(keys, seed, 30).map((drawn) =>
      headed([WireKind.Keys], encodeKeys("sessions", drawn)),
    ),
    ...resyncSeeds(seed),
    ...sample(uses, seed, 10).map((all) => headed([WireKind.Uses], encodeUses(all))),
  ];
}

function fileSeeds(): Buffer[] {
  const folder = join(projectRoot(), "deploy", "examples");
  const examples = readdirSync(folder).filter((name) => name.endsWith(".yaml"));
  const lines = SMALL_FILE.split("\n");
  // A short file is read in a fraction of the time: the top, one site, and one line of what else there is.
  const short = lines.slice(9).map((line) => [...SHORT_FILE, line].join("\n"));
  const texts = [...short, ...short, SHORT_FILE.join("\n"), SMALL_FILE];
  return [
    ...texts.map((text) => Buffer.from(text)),
    ...examples.map((name) => readFileSync(join(folder, name))),
  ];
}

const SHORT_FILE = [
  "apiVersion: isthmus/v1",
  "name: t",
  "sites:",
  '  nyc: { cache: { kind: embedded }, nats: { servers: ["nats://a:2"] }, data: d }',
];

/** Every key of the file once, in few bytes. */
const SMALL_FILE = `apiVersion: isthmus/v1
name: t
preset: none
sites:
  nyc:
    cache: { kind: infinispan, servers: ["a:1"], auth: { mechanism: PLAIN, username: u, passwordEnv: P, realm: r },
      tls: { caFile: c, serverName: s, certFile: c, keyFile: k } }
    nats: { servers: ["nats://a:2"], domain: d, credsFile: f, tls: { caFile: c }, leaf: { listen: "a:3" }, storeDir: s }
    http: { listen: "127.0.0.1:4", tokenFile: t }
    data: ./d
  lon: { cache: { kind: embedded, listen: "127.0.0.1:5" }, nats: { servers: ["nats://b:2"] }, data: ./e }
policies:
  - { match: [a, "b*"], mode: sync, timeout: 1s, onTimeout: fail, conflict: prefer-site, to: [lon], rename: { lon: c } }
  - { match: "*", mode: off, conflict: { merge: ./m.mjs }, evicts: true }
limits: { logMaxAge: 24h, logMaxBytes: 8GiB, takeOffline: { afterFailures: 0, afterSilence: 30s },
  tombstones: { maxAge: 7d }, maxClockSkew: 500ms, maxValueBytes: 1MiB }
`;

function fileWords(): Buffer[] {
  const texts = [
    "\n",
    "  ",
    "- ",
    ": ",
    "? ",
    "{",
    "}",
    "[",
    "]",
    "[[[[[[[[[[[[[[[[",
    "{a: {a: {a: {a: ",
    '"',
    "'",
    "#",
    "|\n",
    ">-\n",
    "&a ",
    "*a",
    "&a [*a, *a]",
    "<<: *a",
    "!!binary ",
    "!!map ",
    "!<tag:yaml.org,2002:str> ",
    "%YAML 1.1\n---\n",
    "---\n",
    "...\n",
    "~",
    "null",
    "off",
    "0x1F",
    "-1",
    "1e400",
    ".nan",
    "2026-01-01",
    "250ms",
    "9".repeat(40),
    "8GiB",
    "\t",
    "\u0000",
    "\uFEFF",
    "\u2028",
    "é",
    "__proto__",
    "constructor",
    ...new Set(SMALL_FILE.match(/[A-Za-z][\w./*-]*/g)),
  ];
  return texts.map((text) => Buffer.from(text));
}
