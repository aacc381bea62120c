import { ErrorCode, IsthmusError } from "../errors.ts";
import type { CacheName, SiteName } from "../names.ts";
import type { Mutation } from "./mutation.ts";
import type { Mode } from "../policy/mode.ts";
import { FieldReader, malformed } from "./field-reader.ts";
import { mutationOf, packMutation, siteNames, SiteTable } from "./mutation-codec.ts";
import { arrayHeader, packPlain, unpackPlain } from "./plain-msgpack.ts";
import { WIRE_VERSION } from "./wire-version.ts";

const MODES = ["sync", "async", "invalidate"] as const satisfies readonly Mode[];

/** What a batch says of all its mutations. */
export interface BatchHeader {
  /** Author of every mutation in the batch. */
  readonly origin: SiteName;
  /** Canonical name. */
  readonly cache: CacheName;
  readonly epoch: number;
  readonly term: number;
  /** Of the log: a random id, new whenever the log is made or found truncated. */
  readonly incarnation: string;
  /** Contiguous per (incarnation, cache). */
  readonly counter: number;
  /** Of the cache's conflict policy; a target with another one does not apply. */
  readonly policyHash: string;
  /** The origin's mode of the cache. */
  readonly mode: (typeof MODES)[number];
  /** Per target, its clock minus the origin's as estimated at publish, whole ms; missing: unknown. */
  readonly offsets: ReadonlyMap<SiteName, number>;
  /** Storage media type of the values. */
  readonly mediaType: string;
  /** Whether a front door holds a write that is in here: the applied position is then announced at once. */
  readonly held: boolean;
}

/** A record of mutations of one cache. */
export interface Batch {
  readonly kind: "batch";
  readonly header: BatchHeader;
  readonly mutations: readonly Mutation[];
}

/** A record that a new holder of the lease writes first: batches of a lower term behind it are quarantined. */
export interface TermBegin {
  readonly kind: "termBegin";
  readonly origin: SiteName;
  readonly epoch: number;
  readonly term: number;
  readonly incarnation: string;
}

const BATCH = 0;
const TERM_BEGIN = 1;

/** A batch as it goes to the log; equal arguments make equal bytes. */
export function encodeBatch(header: BatchHeader, mutations: readonly Mutation[]): Buffer {
  const sites = new SiteTable([...header.offsets.keys()]);
  const rows = mutations.map((mutation) => packMutation(mutation, sites));
  return joinBatch(header, sites.names, rows);
}

/** A batch of mutations that are packed already, with the table of sites that they refer to. */
export function joinBatch(
  header: BatchHeader,
  siteNamesOfRows: readonly SiteName[],
  rows: readonly Uint8Array[],
): Buffer {
  const sites = new SiteTable(siteNamesOfRows);
  const offsets = [...header.offsets].flatMap(([site, ms]) => [sites.indexOf(site), ms]);
  const { origin, cache, epoch, term, incarnation, counter } = header;
  const { policyHash, mode, mediaType, held } = header;
  const parts = [
    WIRE_VERSION,
    BATCH,
    [origin, cache, epoch, term, incarnation, counter, policyHash, mode, offsets, mediaType, held],
    sites.names,
  ];
  return Buffer.concat([
    FIXARRAY_OF_5,
    ...parts.map((part) => packPlain(part)),
    arrayHeader(rows.length),
    ...rows,
  ]);
}

/** What a batch begins with: an array of version, kind, header, sites, mutations. */
const FIXARRAY_OF_5 = Buffer.from([0x95]);

/** A term begin as it goes to the log. */
export function encodeTermBegin(record: Omit<TermBegin, "kind">): Buffer {
  const { origin, epoch, term, incarnation } = record;
  return packPlain([WIRE_VERSION, TERM_BEGIN, [origin, epoch, term, incarnation]]);
}

/**
 * Any record of a log. Values are views of `bytes`: copy what outlives it.
 *
 * @throws IS3020 a wire version that is not {@link WIRE_VERSION}; IS3021 anything else that is no record.
 */
export function decodeRecord(bytes: Uint8Array): Batch | TermBegin {
  checkVersion(bytes);
  const row = new FieldReader("the record", unpackPlain(bytes));
  row.count("version");
  const kind = row.count("kind");
  if (kind !== BATCH && kind !== TERM_BEGIN) throw malformed(`of unknown kind ${kind}`);
  const record = kind === BATCH ? batchOf(row) : termBeginOf(row);
  row.done();
  return record;
}

/** A record that must be a batch, as those on a cache's subject are. @throws IS3020, IS3021 as {@link decodeRecord}. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const record = decodeRecord(bytes);
  if (record.kind !== "batch") throw malformed(`expected a batch, found a ${record.kind}`);
  return record;
}

/** As {@link decodeRecord}; undefined for what is no record: somebody else wrote it, and it is set aside. @throws IS3020 */
export function readableRecord(bytes: Uint8Array): Batch | TermBegin | undefined {
  try {
    return decodeRecord(bytes);
  } catch (error) {
    if (error instanceof IsthmusError && error.code === ErrorCode.WireMalformed) return undefined;
    throw error;
  }
}

/** As {@link readableRecord}, of a subject that has batches alone. @throws IS3020 */
export function readableBatch(bytes: Uint8Array): Batch | undefined {
  const record = readableRecord(bytes);
  return record?.kind === "batch" ? record : undefined;
}

function batchOf(row: FieldReader): Batch {
  const fields = new FieldReader("the header", row.array("header"));
  const sites = siteNames(row);
  const header = {
    origin: fields.text("origin"),
    cache: fields.text("cache"),
    epoch: fields.count("epoch"),
    term: fields.count("term"),
    incarnation: fields.text("incarnation"),
    counter: fields.count("counter"),
    policyHash: fields.text("policyHash"),
    mode: modeOf(fields.text("mode")),
    offsets: fields.bySite("offsets", sites, (pair) => pair.whole("ms")),
    mediaType: fields.text("mediaType"),
    held: fields.flag("held"),
  };
  fields.done();
  const mutations = row.array("mutations").map((mutation) => mutationOf(mutation, sites));
  return { kind: "batch", header, mutations };
}

function termBeginOf(row: FieldReader): TermBegin {
  const fields = new FieldReader("the term begin", row.array("fields"));
  const record = {
    kind: "termBegin",
    origin: fields.text("origin"),
    epoch: fields.count("epoch"),
    term: fields.count("term"),
    incarnation: fields.text("incarnation"),
  } as const;
  fields.done();
  return record;
}

function modeOf(text: string): BatchHeader["mode"] {
  const mode = MODES.find((known) => known === text);
  if (mode === undefined) throw malformed(`mode ${JSON.stringify(text)}`);
  return mode;
}

/** Every version begins with a fixarray whose first element is a positive fixint. */
function checkVersion(bytes: Uint8Array): void {
  const [array, version] = bytes;
  if (array === undefined || version === undefined || (array & 0xf0) !== 0x90 || version >= 0x80) {
    throw malformed("it does not begin with a wire version");
  }
  if (version !== WIRE_VERSION) {
    throw new IsthmusError(
      ErrorCode.WireVersionUnknown,
      `a log record has wire version ${version}, this process reads version ${WIRE_VERSION}`,
      { hint: "Bring both sites to the same release; the link goes on from where it stopped." },
    );
  }
}
