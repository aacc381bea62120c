import { assert, ErrorCode, IsthmusError } from "../errors.ts";
import { HOT_ROD_FRAME_BYTES_MAX } from "../limits.ts";

/** Enough for a frame with a small value; taken from Node's pool. */
const INITIAL_BYTES = 256;

/** Writes Hot Rod primitives into a buffer that grows. */
export class Writer {
  #bytes = Buffer.allocUnsafe(INITIAL_BYTES);
  #pos = 0;

  /** What was written, as a view of the writer's buffer. */
  finish(): Buffer {
    return this.#bytes.subarray(0, this.#pos);
  }

  u8(value: number): void {
    const at = this.#reserve(1);
    this.#bytes[at] = value;
  }

  bool(value: boolean): void {
    this.u8(value ? 1 : 0);
  }

  u16(value: number): void {
    const at = this.#reserve(2);
    this.#bytes.writeUInt16BE(value, at);
  }

  i32(value: number): void {
    const at = this.#reserve(4);
    this.#bytes.writeInt32BE(value, at);
  }

  i64(value: bigint): void {
    const at = this.#reserve(8);
    this.#bytes.writeBigInt64BE(BigInt.asIntN(64, value), at);
  }

  /** An unsigned number of at most 53 bits, seven bits a byte, lowest first. */
  vInt(value: number): void {
    assert(Number.isSafeInteger(value) && value >= 0, () => `vInt of ${value}`);
    let rest = value;
    while (rest >= 0x80) {
      this.u8((rest % 0x80) | 0x80);
      rest = Math.floor(rest / 0x80);
    }
    this.u8(rest);
  }

  /** An unsigned 64-bit number, seven bits a byte, lowest first. */
  vLong(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest > BigInt(Number.MAX_SAFE_INTEGER)) {
      this.u8(Number(rest & 0x7fn) | 0x80);
      rest >>= 7n;
    }
    this.vInt(Number(rest));
  }

  /** Zigzag: 0, -1, 1, -2, ... */
  signedVInt(value: number): void {
    this.vInt(((value << 1) ^ (value >> 31)) >>> 0);
  }

  /** A length and the bytes. */
  bytes(value: Buffer): void {
    this.vInt(value.length);
    this.fixed(value);
  }

  /** The bytes alone. */
  fixed(value: Buffer): void {
    const at = this.#reserve(value.length);
    value.copy(this.#bytes, at);
  }

  string(value: string): void {
    const length = Buffer.byteLength(value, "utf8");
    this.vInt(length);
    const at = this.#reserve(length);
    this.#bytes.write(value, at, "utf8");
  }

  /** Bytes behind a signed length, where -1 means none. */
  optionalBytes(value: Buffer | undefined): void {
    this.signedVInt(value === undefined ? -1 : value.length);
    if (value !== undefined) this.fixed(value);
  }

  #reserve(length: number): number {
    const at = this.#pos;
    this.#pos += length;
    if (this.#pos > this.#bytes.length) this.#grow();
    return at;
  }

  #grow(): void {
    if (this.#pos > HOT_ROD_FRAME_BYTES_MAX) {
      throw new IsthmusError(
        ErrorCode.HotRodProtocol,
        `a Hot Rod frame to send has ${this.#pos} bytes or more, the limit is ${HOT_ROD_FRAME_BYTES_MAX}`,
      );
    }
    const larger = Buffer.allocUnsafe(Math.max(this.#bytes.length * 2, this.#pos));
    this.#bytes.copy(larger);
    this.#bytes = larger;
  }
}
