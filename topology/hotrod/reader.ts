import { ErrorCode, IsthmusError } from "../errors.ts";
import { HOT_ROD_FRAME_BYTES_MAX, HOT_ROD_LIST_ITEMS_MAX } from "../limits.ts";

/** What a list has yielded so far, and the offset in the frame behind that. */
interface ListProgress {
  readonly items: unknown[];
  readonly next: number;
  readonly done: boolean;
}

/** A list that ended and is shorter is read again when the frame is, which costs less than remembering it. */
const REMEMBERED_ITEMS_MIN = 16;
/** The same of a text. */
const REMEMBERED_TEXT_BYTES_MIN = 256;

/**
 * Reads Hot Rod primitives from one frame in a buffer. When the bytes run out it turns short: it stays so, every further
 * read yields 0 or nothing, and what was read is to be thrown away. Buffers that it hands out are views.
 *
 * A reader that turned short can be given the same frame with more bytes; lists then go on with the item that was missing,
 * and long texts are not decoded again, so that a long frame in small chunks costs time linear in its length.
 */
export class Reader {
  #bytes: Buffer;
  #start: number;
  #pos: number;
  #short = false;
  #needed = 0;
  #progress: Map<number, ListProgress> | undefined;
  /** Long texts by their offset in the frame. */
  #texts: Map<number, string> | undefined;
  /** The frame's opcode, once it is known: for messages only. */
  opcode: number | undefined;

  constructor(bytes: Buffer, start = 0) {
    this.#bytes = bytes;
    this.#start = start;
    this.#pos = start;
  }

  /** The same frame again, now with more bytes, perhaps in another buffer. */
  retry(bytes: Buffer, start: number): void {
    this.#bytes = bytes;
    this.#start = start;
    this.#pos = start;
    this.#short = false;
  }

  /** Another frame. */
  reset(bytes: Buffer, start: number): void {
    this.retry(bytes, start);
    this.#progress = undefined;
    this.#texts = undefined;
    this.opcode = undefined;
  }

  /** Whether the bytes ran out. */
  get isShort(): boolean {
    return this.#short;
  }

  /** While short: how many bytes the frame has at the least. */
  get needed(): number {
    return this.#needed;
  }

  /** How many bytes of the frame were read. */
  get offset(): number {
    return this.#pos - this.#start;
  }

  u8(): number {
    if (this.#pos >= this.#bytes.length) return this.#runShort(1);
    return this.#bytes[this.#pos++] as number;
  }

  bool(): boolean {
    return this.u8() !== 0;
  }

  u16(): number {
    return this.#has(2) ? this.#bytes.readUInt16BE(this.#advance(2)) : 0;
  }

  i32(): number {
    return this.#has(4) ? this.#bytes.readInt32BE(this.#advance(4)) : 0;
  }

  i64(): bigint {
    return this.#has(8) ? this.#bytes.readBigInt64BE(this.#advance(8)) : 0n;
  }

  /** A signed 64-bit number that has to fit in a number exactly, such as a time in ms. */
  i64Number(): number {
    const value = Number(this.i64());
    if (!Number.isSafeInteger(value)) this.malformed(`a number below 2^53, found ${value}`);
    return value;
  }

  /** 1 to 5 bytes, seven bits each, lowest first; unsigned. */
  vInt(): number {
    let byte = this.u8();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let scale = 0x80; ; scale *= 0x80) {
      byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) break;
      if (scale >= 0x10000000) this.malformed("a vInt of at most 5 bytes");
    }
    if (value > 0xffff_ffff) this.malformed("a vInt of at most 32 bits");
    return value;
  }

  /** 1 to 10 bytes, seven bits each, lowest first; unsigned. */
  vLong(): bigint {
    let low = 0;
    let byte = 0x80;
    let scale = 1;
    for (let i = 0; i < 7 && byte >= 0x80; i++) {
      byte = this.u8();
      low += (byte & 0x7f) * scale;
      scale *= 0x80;
    }
    let value = BigInt(low);
    for (let shift = 49n; byte >= 0x80; shift += 7n) {
      if (shift > 63n) this.malformed("a vLong of at most 10 bytes");
      byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
    }
    if (value > 0xffff_ffff_ffff_ffffn) this.malformed("a vLong of at most 64 bits");
    return value;
  }

  /** A vLong that has to fit in a number exactly. */
  vLongNumber(): number {
    const byte = this.#bytes[this.#pos];
    if (byte !== undefined && byte < 0x80) {
      this.#pos += 1;
      return byte;
    }
    const value = this.vLong();
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      this.malformed(`a vLong below 2^53, found ${value}`);
    return Number(value);
  }

  /** Zigzag: 0, -1, 1, -2, ... */
  signedVInt(): number {
    const value = this.vInt();
    return (value >>> 1) ^ -(value & 1);
  }

  /** A length and that many bytes, as a view. */
  bytes(): Buffer {
    return this.fixed(this.vInt());
  }

  /** That many bytes, as a view. */
  fixed(length: number): Buffer {
    if (!this.#has(length)) return EMPTY;
    const start = this.#advance(length);
    return this.#bytes.subarray(start, start + length);
  }

  string(): string {
    const length = this.vInt();
    if (length === 0 || !this.#has(length)) return "";
    return this.#text(length);
  }

  /** A text behind a signed length, where -1 means none. */
  optionalString(): string | undefined {
    const length = this.#optionalLength();
    if (length === -1) return undefined;
    return length === 0 || !this.#has(length) ? "" : this.#text(length);
  }

  /** Bytes behind a signed length, where -1 means none. */
  optionalBytes(): Buffer | undefined {
    const length = this.#optionalLength();
    return length === -1 ? undefined : this.fixed(length);
  }

  /** `count` items, each of at least one byte. */
  list<T>(count: number, read: (r: Reader) => T): T[] {
    this.boundItems(count);
    return this.#items(count, read);
  }

  /** Refuses a number of items that is beyond the limit. @throws IsthmusError HotRodProtocol */
  boundItems(count: number): void {
    if (count > HOT_ROD_LIST_ITEMS_MAX) {
      this.malformed(`a list of at most ${HOT_ROD_LIST_ITEMS_MAX} items, found ${count}`);
    }
  }

  /** Items until `read` returns undefined. */
  sequence<T extends object>(read: (r: Reader) => T | undefined): T[] {
    return this.#items(Number.POSITIVE_INFINITY, read) as T[];
  }

  /** Throws what was expected and where. @throws IsthmusError HotRodProtocol */
  malformed(expected: string): never {
    throw new IsthmusError(
      ErrorCode.HotRodProtocol,
      `Hot Rod frame with opcode ${this.#opcodeText()}: expected ${expected} at offset ${this.offset}`,
    );
  }

  #items<T>(count: number, read: (r: Reader) => T): T[] {
    // An empty list takes no bytes: what is remembered for its offset is of the list behind it.
    if (this.#short || count === 0) return [];
    const start = this.offset;
    const progress = this.#progress?.get(start);
    const items = (progress?.items ?? []) as T[];
    if (progress !== undefined) this.#pos = this.#start + progress.next;
    if (progress?.done === true) return items;
    while (items.length < count) {
      const next = this.offset;
      const item = read(this);
      if (this.#short) {
        this.#remember(start, { items, next, done: false });
        return items;
      }
      if (item === undefined) break;
      items.push(item);
      this.boundItems(items.length);
    }
    if (progress !== undefined || items.length >= REMEMBERED_ITEMS_MIN) {
      this.#remember(start, { items, next: this.offset, done: true });
    }
    return items;
  }

  #remember(start: number, progress: ListProgress): void {
    this.#progress ??= new Map();
    this.#progress.set(start, progress);
  }

  #optionalLength(): number {
    const length = this.signedVInt();
    if (length < -1) this.malformed(`a length of -1 or more, found ${length}`);
    return length;
  }

  /** Of bytes that are there. */
  #text(length: number): string {
    const at = this.offset;
    const start = this.#advance(length);
    const known = this.#texts?.get(at);
    if (known !== undefined) return known;
    const text = this.#bytes.toString("utf8", start, start + length);
    if (length >= REMEMBERED_TEXT_BYTES_MIN) {
      this.#texts ??= new Map();
      this.#texts.set(at, text);
    }
    return text;
  }

  #has(length: number): boolean {
    if (length <= this.#bytes.length - this.#pos) return true;
    this.#runShort(length);
    return false;
  }

  #advance(length: number): number {
    const start = this.#pos;
    this.#pos += length;
    return start;
  }

  #runShort(length: number): 0 {
    if (this.#short) return 0;
    if (this.offset + length > HOT_ROD_FRAME_BYTES_MAX) this.#tooLong(length);
    this.#short = true;
    this.#needed = this.offset + length;
    this.#pos = this.#bytes.length;
    return 0;
  }

  #tooLong(length: number): never {
    throw new IsthmusError(
      ErrorCode.HotRodProtocol,
      `Hot Rod frame with opcode ${this.#opcodeText()}: a length of ${length} announced at offset ` +
        `${this.offset} goes beyond the limit of ${HOT_ROD_FRAME_BYTES_MAX} bytes per frame`,
    );
  }

  #opcodeText(): string {
    return this.opcode === undefined ? "not read yet" : `0x${this.opcode.toString(16)}`;
  }
}

const EMPTY = Buffer.alloc(0);
