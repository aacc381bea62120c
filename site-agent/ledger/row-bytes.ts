import { assert, ErrorCode, IsthmusError } from "../../topology/errors.ts";

/** Writes a row's fields one after another into a scratch buffer that grows and is used again. */
export class RowWriter {
  #buffer = Buffer.alloc(1024);
  #at = 0;

  /** Begins a row. */
  start(): this {
    this.#at = 0;
    return this;
  }

  /** The row's bytes, a copy. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#at));
  }

  byte(value: number): void {
    this.#room(1);
    this.#buffer[this.#at++] = value;
  }

  /** A whole number >= 0, seven bits a byte, the lowest first. */
  count(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, () => `a row's count is ${value}`);
    this.#room(8);
    let rest = value;
    while (rest >= 128) {
      this.#buffer[this.#at++] = (rest % 128) + 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#at++] = rest;
  }

  /** A whole number; small ones of either sign are short. */
  whole(value: number): void {
    this.count(value < 0 ? -2 * value - 1 : 2 * value);
  }

  uint64(value: bigint): void {
    this.#room(8);
    this.#buffer.writeBigUInt64BE(value, this.#at);
    this.#at += 8;
  }

  /** A signed 64-bit number: what Hot Rod's entry versions are read as. */
  int64(value: bigint): void {
    this.uint64(BigInt.asUintN(64, value));
  }

  bytes(value: Uint8Array): void {
    this.#room(value.length);
    this.#buffer.set(value, this.#at);
    this.#at += value.length;
  }

  /** Bytes with their length before them. */
  sized(value: Uint8Array): void {
    this.count(value.length);
    this.bytes(value);
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.alloc(2 * (this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}

/** Reads what a {@link RowWriter} wrote; a row that is too short or too long throws IS2024. */
export class RowReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  byte(): number {
    return this.#buffer[this.#advance(1)] ?? 0;
  }

  count(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) break;
      if (scale > 2 ** 49) throw corrupt("a number has no end");
    }
    if (!Number.isSafeInteger(value)) throw corrupt("a number is too large");
    return value;
  }

  whole(): number {
    const value = this.count();
    return value % 2 === 1 ? -(value + 1) / 2 : value / 2;
  }

  uint64(): bigint {
    return this.#buffer.readBigUInt64BE(this.#advance(8));
  }

  int64(): bigint {
    return BigInt.asIntN(64, this.uint64());
  }

  /** A copy. */
  bytes(length: number): Buffer {
    const from = this.#advance(length);
    return Buffer.from(this.#buffer.subarray(from, from + length));
  }

  hex(length: number): string {
    const from = this.#advance(length);
    return this.#buffer.toString("hex", from, from + length);
  }

  sized(): Buffer {
    return this.bytes(this.count());
  }

  done(): void {
    if (this.#at !== this.#buffer.length) throw corrupt("it is too long");
  }

  #advance(bytes: number): number {
    const from = this.#at;
    if (bytes > this.#buffer.length - from) throw corrupt("it is too short");
    this.#at += bytes;
    return from;
  }
}

/** The error for a row that cannot be decoded. */
export const corrupt = (why: string): IsthmusError =>
  new IsthmusError(ErrorCode.LedgerCorrupt, `a row of the ledger cannot be read: ${why}`);
