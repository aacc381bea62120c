const FIRST_BYTES = 64 * 1024;
/** A larger scratch buffer is not kept for the next value. */
const KEPT_BYTES = 1024 * 1024;

/**
 * Writes msgpack field by field into a scratch buffer that is used again: the bytes that packPlain makes of the same values,
 * without the arrays and buffers that it would be given.
 */
export class PackWriter {
  #buffer = Buffer.allocUnsafe(FIRST_BYTES);
  #at = 0;

  /** Begins a value. */
  start(): void {
    this.#at = 0;
    if (this.#buffer.length > KEPT_BYTES) this.#buffer = Buffer.allocUnsafe(FIRST_BYTES);
  }

  /** The bytes written since the start, a copy. */
  finish(): Buffer {
    return Buffer.from(this.#buffer.subarray(0, this.#at));
  }

  /** The header of an array; its elements follow. */
  array(length: number): void {
    this.#room(5);
    if (length < 16) this.#byte(0x90 | length);
    else if (length < 2 ** 16) this.#headed(0xdc, 2, length);
    else this.#headed(0xdd, 4, length);
  }

  nil(): void {
    this.#room(1);
    this.#byte(0xc0);
  }

  /** A whole number; beyond 32 bits it is a float 64, which holds every safe integer. */
  int(value: number): void {
    this.#room(9);
    if (value >>> 0 === value) {
      if (value < 2 ** 7) this.#byte(value);
      else if (value < 2 ** 8) this.#headed(0xcc, 1, value);
      else if (value < 2 ** 16) this.#headed(0xcd, 2, value);
      else this.#headed(0xce, 4, value);
    } else if (value >> 0 === value) {
      if (value >= -(2 ** 5)) this.#byte(value + 2 ** 8);
      else if (value >= -(2 ** 7)) this.#headed(0xd0, 1, value + 2 ** 8);
      else if (value >= -(2 ** 15)) this.#headed(0xd1, 2, value + 2 ** 16);
      else this.#headed(0xd2, 4, value + 2 ** 32);
    } else {
      this.#byte(0xcb);
      this.#at = this.#buffer.writeDoubleBE(value, this.#at);
    }
  }

  /** As 64 bits, whatever its size. */
  uint64(value: bigint): void {
    this.#room(9);
    const head = this.#at;
    this.#at = this.#buffer.writeBigUInt64BE(value, head + 1);
    // One that has the form of a signed number is marked as one.
    this.#buffer[head] = (this.#buffer[head + 1] ?? 0) < 0x80 ? 0xd3 : 0xcf;
  }

  bin(bytes: Uint8Array): void {
    this.#bin(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  /** Bytes that are given as the characters of a string. */
  latin1(text: string): void {
    this.#bin(text.length);
    this.#at += this.#buffer.write(text, this.#at, "latin1");
  }

  /** Bytes that are given as hex; returns how many there were. */
  hex(text: string): number {
    this.#bin(text.length / 2);
    const written = this.#buffer.write(text, this.#at, "hex");
    this.#at += written;
    return written;
  }

  #bin(length: number): void {
    this.#room(5 + length);
    if (length < 2 ** 8) this.#headed(0xc4, 1, length);
    else if (length < 2 ** 16) this.#headed(0xc5, 2, length);
    else this.#headed(0xc6, 4, length);
  }

  #headed(type: number, bytes: 1 | 2 | 4, value: number): void {
    this.#byte(type);
    for (let shift = 8 * (bytes - 1); shift >= 0; shift -= 8) this.#byte(value >>> shift);
  }

  #byte(value: number): void {
    this.#buffer[this.#at++] = value;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(2 * (this.#at + bytes));
    this.#buffer.copy(grown, 0, 0, this.#at);
    this.#buffer = grown;
  }
}
