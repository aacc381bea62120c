import { assert } from "../errors.ts";
import type { SiteName } from "../names.ts";
import { dotMs } from "../version/dot.ts";
import type { Mutation } from "./mutation.ts";
import { FieldReader, malformed } from "./field-reader.ts";
import { PackWriter } from "./pack-writer.ts";
import { type Plain, unpackPlain } from "./plain-msgpack.ts";

const HASH_BYTES = 16;

/** Where a site is in the table that contexts and offsets refer to; a site that is not in there is added. */
export interface SiteIndexes {
  indexOf(site: SiteName): number;
}

/** A table of sites, each once. */
export class SiteTable implements SiteIndexes {
  readonly names: SiteName[] = [];
  readonly #indexes = new Map<SiteName, number>();

  /** Begins with `names`. */
  constructor(names: readonly SiteName[] = []) {
    for (const name of names) this.indexOf(name);
  }

  indexOf(site: SiteName): number {
    const known = this.#indexes.get(site);
    if (known !== undefined) return known;
    this.#indexes.set(site, this.names.length);
    return this.names.push(site) - 1;
  }
}

/** A mutation as a batch has it, fields in the order of the schema; a remove ends after `at`. */
export function packMutation(mutation: Mutation, sites: SiteIndexes): Buffer {
  const { key, kind, dot, context, at, hash, expiresAt, maxIdleMs, value } = mutation;
  writer.start();
  writer.array(kind === "remove" ? 4 : 8);
  writer.latin1(key);
  writer.uint64(dot);
  writer.array(2 * context.size);
  for (const [site, seen] of context) {
    writer.int(sites.indexOf(site));
    writer.uint64(seen);
  }
  writer.int(at - dotMs(dot));
  if (kind === "remove") return writer.finish();
  assert(writer.hex(hash) === HASH_BYTES, () => `a put's hash is ${JSON.stringify(hash)}`);
  if (expiresAt === 0) writer.nil();
  else writer.int(expiresAt - at);
  writer.int(maxIdleMs);
  if (value === undefined) writer.nil();
  else writer.bin(value);
  return writer.finish();
}

const writer = new PackWriter();

/** The inverse of {@link packMutation}; the value is a view of `bytes`. @throws IS3021 */
export function unpackMutation(bytes: Uint8Array, sites: readonly SiteName[]): Mutation {
  return mutationOf(unpackPlain(bytes), sites);
}

/** A mutation of a batch that was unpacked whole. @throws IS3021 */
export function mutationOf(fields: Plain | undefined, sites: readonly SiteName[]): Mutation {
  const row = new FieldReader("a mutation", fields);
  const key = Buffer.from(row.bytes("key")).toString("latin1");
  const dot = row.dot("dot");
  const context = row.bySite("context", sites, (pair) => pair.dot("dot"));
  const at = row.whole("at") + dotMs(dot);
  if (row.left === 0) {
    return { key, kind: "remove", dot, context, at, hash: "", expiresAt: 0, maxIdleMs: 0 };
  }
  const hashBytes = row.bytes("hash");
  if (hashBytes.length !== HASH_BYTES) throw malformed(`a hash of ${hashBytes.length} bytes`);
  const lifeMs = row.wholeOrNil("expiresAt");
  const maxIdleMs = row.count("maxIdleMs");
  const value = row.bytesOrNil("value");
  row.done();
  return {
    key,
    kind: "put",
    dot,
    context,
    at,
    hash: Buffer.from(hashBytes).toString("hex"),
    expiresAt: lifeMs === undefined ? 0 : at + lifeMs,
    maxIdleMs,
    ...(value && { value }),
  };
}

/** The table of sites as `row` has it next. @throws IS3021 */
export function siteNames(row: FieldReader): SiteName[] {
  const names = row.array("sites");
  const reader = new FieldReader("the table of sites", names);
  return names.map(() => reader.text("name"));
}
