import type { Writable } from "node:stream";
import { DOOR_JOINED_BYTES_MAX } from "../../topology/limits.ts";

/**
 * What one turn of the event loop has for a socket leaves in one write, in its order: a system call costs more than all else
 * that a message does on its way. Neighbours in one buffer, as frames of one chunk are, leave uncopied.
 */
export class JoinedWrites {
  readonly #socket: Writable;
  /** What comes before the neighbours that gather now. */
  #before: Buffer[] = [];
  #first: Buffer | undefined;
  #length = 0;
  #bytesBefore = 0;
  #isGathering = false;
  #isScheduled = false;

  constructor(socket: Writable) {
    this.#socket = socket;
  }

  /** What is written from now on leaves with the next {@link JoinedWrites.flush}. */
  gather(): void {
    this.#isGathering = true;
  }

  /** The bytes leave before the event loop goes on, unless they gather. */
  write(bytes: Buffer): void {
    const first = this.#first;
    if (
      first !== undefined &&
      bytes.buffer === first.buffer &&
      bytes.byteOffset === first.byteOffset + this.#length
    ) {
      this.#length += bytes.length;
      return;
    }
    if (first !== undefined) this.#endNeighbours(first);
    this.#first = bytes;
    this.#length = bytes.length;
    if (this.#isGathering || this.#isScheduled) return;
    this.#isScheduled = true;
    process.nextTick(() => {
      this.#isScheduled = false;
      if (!this.#isGathering) this.flush();
    });
  }

  /** Writes what has gathered. */
  flush(): void {
    this.#isGathering = false;
    const first = this.#first;
    if (first === undefined) return;
    this.#endNeighbours(first);
    const [parts, bytes] = [this.#before, this.#bytesBefore];
    this.#before = [];
    this.#bytesBefore = 0;
    const socket = this.#socket;
    if (!socket.writable) return;
    const [only, ...others] = parts;
    if (only !== undefined && others.length === 0) socket.write(only);
    else if (bytes <= DOOR_JOINED_BYTES_MAX) socket.write(Buffer.concat(parts, bytes));
    else {
      socket.cork();
      for (const part of parts) socket.write(part);
      socket.uncork();
    }
  }

  #endNeighbours(first: Buffer): void {
    const length = this.#length;
    const all =
      length === first.length ? first : Buffer.from(first.buffer, first.byteOffset, length);
    this.#before.push(all);
    this.#bytesBefore += length;
    this.#first = undefined;
    this.#length = 0;
  }
}
