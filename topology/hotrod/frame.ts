import type { HotRodRequest, HotRodResponse, RequestContext } from "./messages.ts";
import { Reader } from "./reader.ts";
import { decodeRequest } from "./request.ts";
import type { UnknownRequest } from "./request.ts";
import { decodeResponse } from "./response.ts";

/**
 * One decoded frame. `raw` and the message's buffers are views of the chunk that was pushed or of a buffer made for the
 * frame. They stay valid, but keep all of it in memory: copy what is kept for long.
 */
export interface Frame<M> {
  readonly message: M;
  readonly raw: Buffer;
}

/** Returned by `push` when no frame has begun that has not ended. */
export const NOTHING_PENDING = 0;

/** Cuts a stream of bytes into frames, whatever the sizes of the chunks. */
export class FrameDecoder<M> {
  readonly #decode: (r: Reader) => M;
  readonly #reader = new Reader(Buffer.alloc(0));
  /** The bytes of the frame that has begun, and room for more. */
  #pending = Buffer.alloc(0);
  #length = 0;
  /** How many bytes that frame has at the least. */
  #needed = NOTHING_PENDING;

  constructor(decode: (r: Reader) => M) {
    this.#decode = decode;
  }

  /**
   * Takes the next bytes and hands over each frame that they end. Returns how many more bytes the frame that has begun
   * needs at the least, {@link NOTHING_PENDING} when none has. After an error, or when `onFrame` throws, the rest of the
   * stream cannot be decoded: close the connection.
   * @throws IsthmusError HotRodProtocol, after all frames before the malformed one were handed over
   */
  push(chunk: Buffer, onFrame: (frame: Frame<M>) => void): number {
    let bytes = chunk;
    if (this.#length > 0) {
      this.#append(chunk);
      if (this.#length < this.#needed) return this.#needed - this.#length;
      bytes = this.#pending.subarray(0, this.#length);
    }
    const consumed = this.#decodeAll(bytes, onFrame);
    if (consumed === bytes.length) {
      this.#pending = EMPTY;
      this.#length = 0;
      this.#needed = NOTHING_PENDING;
      return NOTHING_PENDING;
    }
    if (this.#length === 0 || consumed > 0) this.#begin(bytes.subarray(consumed));
    this.#needed = this.#reader.needed;
    return this.#needed - this.#length;
  }

  /** Hands over what is whole in `bytes`; the reader is left short at the frame that is not. */
  #decodeAll(bytes: Buffer, onFrame: (frame: Frame<M>) => void): number {
    const reader = this.#reader;
    let start = 0;
    let resumed = this.#length > 0;
    while (start < bytes.length) {
      if (resumed) reader.retry(bytes, start);
      else reader.reset(bytes, start);
      const message = this.#decode(reader);
      if (reader.isShort) return start;
      const end = start + reader.offset;
      onFrame({ message, raw: bytes.subarray(start, end) });
      start = end;
      resumed = false;
    }
    return start;
  }

  /** Keeps the beginning of a frame, in a buffer of its own: the one before may be in use as frames' views. */
  #begin(bytes: Buffer): void {
    this.#pending = Buffer.from(bytes);
    this.#length = bytes.length;
  }

  /** Grows by doubling, not to the announced length, so that an announcement alone costs no memory. */
  #append(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#pending.length) {
      const larger = Buffer.allocUnsafe(Math.max(length, this.#pending.length * 2));
      this.#pending.copy(larger, 0, 0, this.#length);
      this.#pending = larger;
    }
    chunk.copy(this.#pending, this.#length);
    this.#length = length;
  }
}

const EMPTY = Buffer.alloc(0);

/** Decodes what clients send. */
export function requestDecoder(): FrameDecoder<HotRodRequest | UnknownRequest> {
  return new FrameDecoder(decodeRequest);
}

/** Decodes what a server sends; `lookup` tells of the request with an id. */
export function responseDecoder(
  lookup: (id: number) => RequestContext | undefined,
): FrameDecoder<HotRodResponse> {
  // Undefined only when the reader is short, and then no frame is made of it.
  return new FrameDecoder((r) => decodeResponse(r, lookup) as HotRodResponse);
}
