import protobuf from "protobufjs";

const { Reader, Writer } = protobuf;

/** One field of a message as it stands on the wire. What is not known of a message is kept, byte for byte, by its `raw`. */
export interface WireField {
  readonly number: number;
  /** 0 varint, 1 eight bytes, 2 length-delimited, 3 group, 5 four bytes. */
  readonly wireType: number;
  /** Tag, length and payload. */
  readonly raw: Uint8Array;
  /** Of a length-delimited field without its length. */
  readonly payload: Uint8Array;
}

const LENGTH_DELIMITED = 2;

/**
 * The fields of a message in their order, repetitions included. Source: protobuf.dev/programming-guides/encoding.
 *
 * @throws Error when the bytes are no message
 */
export function fieldsOf(message: Uint8Array): WireField[] {
  const reader = Reader.create(message);
  const fields: WireField[] = [];
  while (reader.pos < reader.len) {
    const start = reader.pos;
    const tag = reader.tag();
    const [number, wireType] = [tag >>> 3, tag & 7];
    let from = reader.pos;
    if (wireType === LENGTH_DELIMITED) {
      const length = reader.uint32();
      from = reader.pos;
      reader.skip(length);
    } else reader.skipType(wireType, 0, number);
    fields.push({
      number,
      wireType,
      raw: message.subarray(start, reader.pos),
      payload: message.subarray(from, reader.pos),
    });
  }
  return fields;
}

/** The message of these fields, in their order. */
export function messageOf(fields: readonly WireField[]): Buffer {
  return Buffer.concat(fields.map(({ raw }) => raw));
}

/** The field that counts: of several with one number a reader takes the last. */
export function lastOf(fields: readonly WireField[], number: number): WireField | undefined {
  return fields.findLast((field) => field.number === number);
}

/** The fields with `field` instead of all that have its number, in the place of the first of them, else at the end. */
export function withField(fields: readonly WireField[], field: WireField): WireField[] {
  const place = fields.findIndex(({ number }) => number === field.number);
  const others = fields.filter(({ number }) => number !== field.number);
  return others.toSpliced(place < 0 ? others.length : place, 0, field);
}

/** A length-delimited field with another payload. */
export function withPayload({ number, wireType }: WireField, payload: Uint8Array): WireField {
  const raw = Writer.create()
    .uint32((number << 3) | wireType)
    .bytes(payload)
    .finish();
  return { number, wireType, raw, payload };
}

/** How the bits of a varint are read, by declared type. */
const VARINTS: ReadonlyMap<string, (bits: bigint) => bigint> = new Map([
  ["int32", (bits: bigint) => BigInt.asIntN(32, bits)],
  ["int64", (bits: bigint) => BigInt.asIntN(64, bits)],
  ["uint32", (bits: bigint) => BigInt.asUintN(32, bits)],
  ["uint64", (bits: bigint) => bits],
]);

/**
 * The number that a field of that declared type holds; without a field 0, as proto3 has it.
 *
 * @throws Error when it is another type, on the wire or in the schema
 */
export function integerOf(field: WireField | undefined, type: string): bigint {
  const read = VARINTS.get(type);
  if (read === undefined) throw new Error(`a field of type ${type} where a number is expected`);
  if (field === undefined) return 0n;
  if (field.wireType !== 0) {
    throw new Error(`field ${field.number} has wire type ${field.wireType}, not that of ${type}`);
  }
  const { high, low } = Reader.create(field.payload).uint64();
  return read((BigInt(high >>> 0) << 32n) | BigInt(low >>> 0));
}

/** @throws Error when the field is not length-delimited */
export function bytesOf(field: WireField): Uint8Array {
  if (field.wireType === LENGTH_DELIMITED) return field.payload;
  throw new Error(`field ${field.number} has wire type ${field.wireType}, not that of bytes`);
}
