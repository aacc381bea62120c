import type {
  CounterConfiguration,
  EntryMetadata,
  FactoryCall,
  HeaderParam,
  KeyValue,
  TxModification,
  Xid,
} from "./messages.ts";
import { readExpiration, writeExpiration } from "./expiration.ts";
import type { Reader } from "./reader.ts";
import type { Writer } from "./writer.ts";

/** Reads and writes what follows a header, given what the layout depends on. */
export interface BodyCodec<B, C> {
  read(r: Reader, context: C): B;
  write(w: Writer, body: B, context: C): void;
}

/** A key and a value. */
export function readKeyValue(r: Reader): KeyValue {
  return { key: r.bytes(), value: r.bytes() };
}

/** The inverse of {@link readKeyValue}. */
export function writeKeyValue(w: Writer, entry: KeyValue): void {
  w.bytes(entry.key);
  w.bytes(entry.value);
}

/** A name and bytes. */
export function readParam(r: Reader): HeaderParam {
  return { name: r.string(), value: r.bytes() };
}

/** The inverse of {@link readParam}. */
export function writeParam(w: Writer, param: HeaderParam): void {
  w.string(param.name);
  w.bytes(param.value);
}

/** A byte that counts, and that many byte arrays: the parameters of a factory. */
export function readFactoryParams(r: Reader): Buffer[] {
  return r.list(r.u8(), (it) => it.bytes());
}

/** The inverse of {@link readFactoryParams}. */
export function writeFactoryParams(w: Writer, params: readonly Buffer[]): void {
  w.u8(params.length);
  for (const param of params) w.bytes(param);
}

/** A listener's factory: a name and, unless that is empty, parameters. */
export function readFactory(r: Reader): FactoryCall | undefined {
  const name = r.string();
  return name === "" ? undefined : { name, params: readFactoryParams(r) };
}

/** The inverse of {@link readFactory}. */
export function writeFactory(w: Writer, factory: FactoryCall | undefined): void {
  w.string(factory?.name ?? "");
  if (factory !== undefined) writeFactoryParams(w, factory.params);
}

/** Flags (1: no lifespan, 2: no max-idle), a time and seconds for each that there is, the entry's version. */
export function readMetadata(r: Reader): EntryMetadata {
  const flags = r.u8();
  const mortal = (flags & 1) === 0;
  const idle = (flags & 2) === 0;
  return {
    createdMs: mortal ? r.i64Number() : undefined,
    lifespanSeconds: mortal ? r.vInt() : undefined,
    lastUsedMs: idle ? r.i64Number() : undefined,
    maxIdleSeconds: idle ? r.vInt() : undefined,
    entryVersion: r.i64(),
  };
}

/** The inverse of {@link readMetadata}. */
export function writeMetadata(w: Writer, metadata: EntryMetadata): void {
  const { createdMs, lifespanSeconds, lastUsedMs, maxIdleSeconds } = metadata;
  const mortal = createdMs !== undefined && lifespanSeconds !== undefined;
  const idle = lastUsedMs !== undefined && maxIdleSeconds !== undefined;
  w.u8((mortal ? 0 : 1) | (idle ? 0 : 2));
  if (mortal) {
    w.i64(BigInt(createdMs));
    w.vInt(lifespanSeconds);
  }
  if (idle) {
    w.i64(BigInt(lastUsedMs));
    w.vInt(maxIdleSeconds);
  }
  w.i64(metadata.entryVersion);
}

/** A transaction's id. */
export function readXid(r: Reader): Xid {
  return { format: r.signedVInt(), transaction: r.fixed(r.u8()), branch: r.fixed(r.u8()) };
}

/** The inverse of {@link readXid}. */
export function writeXid(w: Writer, xid: Xid): void {
  w.signedVInt(xid.format);
  w.u8(xid.transaction.length);
  w.fixed(xid.transaction);
  w.u8(xid.branch.length);
  w.fixed(xid.branch);
}

const TX_NOT_READ_OR_NON_EXISTING = 1 | 2;
const TX_REMOVE = 4;

/** One change of a transaction. */
export function readModification(r: Reader, version: number): TxModification {
  const key = r.bytes();
  const control = r.u8();
  const versionRead = (control & TX_NOT_READ_OR_NON_EXISTING) === 0 ? r.i64() : undefined;
  const write =
    (control & TX_REMOVE) === 0
      ? { expiration: readExpiration(r, version), value: r.bytes() }
      : undefined;
  return { key, control, versionRead, write };
}

/** The inverse of {@link readModification}. */
export function writeModification(w: Writer, it: TxModification, version: number): void {
  w.bytes(it.key);
  w.u8(it.control);
  if (it.versionRead !== undefined) w.i64(it.versionRead);
  if (it.write !== undefined) {
    writeExpiration(w, it.write.expiration, version);
    w.bytes(it.write.value);
  }
}

const COUNTER_WEAK = 1;
const COUNTER_BOUNDED = 2;

/** How a counter is defined. */
export function readCounterConfiguration(r: Reader): CounterConfiguration {
  const flags = r.u8();
  const concurrency = (flags & COUNTER_WEAK) === 0 ? undefined : r.vInt();
  const bounds = (flags & COUNTER_BOUNDED) === 0 ? undefined : { lower: r.i64(), upper: r.i64() };
  return { flags, concurrency, bounds, initial: r.i64() };
}

/** The inverse of {@link readCounterConfiguration}. */
export function writeCounterConfiguration(w: Writer, it: CounterConfiguration): void {
  w.u8(it.flags);
  if (it.concurrency !== undefined) w.vInt(it.concurrency);
  if (it.bounds !== undefined) {
    w.i64(it.bounds.lower);
    w.i64(it.bounds.upper);
  }
  w.i64(it.initial);
}
