import { SimRandom } from "../sim/world/sim-random.ts";

/** Longest input. */
export const INPUT_BYTES_MAX = 4_096;

/** What lengths, signs and tags turn on. */
const BYTES = [0, 1, 2, 3, 7, 8, 0x0f, 0x10, 0x20, 0x3f, 0x40, 0x7e, 0x7f, 0x80, 0x81, 0x90, 0x9f];
const MORE_BYTES = [0xa0, 0xa1, 0xbf, 0xc0, 0xc1, 0xc4, 0xc6, 0xca, 0xcf, 0xd3, 0xd9, 0xdb, 0xdc];
const LAST_BYTES = [0xdd, 0xde, 0xdf, 0xe0, 0xf0, 0xf8, 0xfe, 0xff];
const INTERESTING = [...BYTES, ...MORE_BYTES, ...LAST_BYTES];
const RUNS = [
  [0xff, 0xff, 0xff, 0xff, 0x0f],
  [0x80, 0x80, 0x80, 0x20],
  [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
  [0xdd, 0x7f, 0xff, 0xff, 0xff],
  [0xdd, 0x02, 0x00, 0x00, 0x00],
  [0xdd, 0x01, 0x00, 0x00, 0x00],
  [0xdf, 0x01, 0x00, 0x00, 0x00],
  [0xdf, 0x02, 0x00, 0x00, 0x00],
  [0xc6, 0x7f, 0xff, 0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0x7f, 0xf8, 0, 0, 0, 0, 0, 0],
].map((run) => Buffer.from(run));

/** Makes new inputs of those that reached something: a few changes each, of kinds that decoders are sensitive to. */
export class Mutator {
  readonly #random: SimRandom;
  readonly #words: readonly Buffer[];
  readonly #scratch = Buffer.alloc(2 * INPUT_BYTES_MAX);
  #length = 0;

  /** `words`: what is put in whole now and then. */
  constructor(seed: number, words: readonly Buffer[] = []) {
    this.#random = new SimRandom(seed);
    this.#words = words.length > 0 ? words : RUNS;
  }

  /** A mutation of one of the corpus; valid until the next call. */
  next(corpus: readonly Buffer[]): Buffer {
    const random = this.#random;
    const base = this.#pick(corpus);
    this.#length = base.copy(this.#scratch, 0, 0, Math.min(base.length, INPUT_BYTES_MAX));
    const changes = 1 + random.below(1 + random.below(6));
    for (let i = 0; i < changes; i++) this.#change(corpus);
    return this.#scratch.subarray(0, Math.min(this.#length, INPUT_BYTES_MAX));
  }

  /** Newer ones more often: they reached what the others did not. */
  #pick(corpus: readonly Buffer[]): Buffer {
    const random = this.#random;
    const newest = Math.min(64, Math.ceil(corpus.length / 4));
    const recent = random.chance(0.5) ? newest : corpus.length;
    return corpus[corpus.length - 1 - random.below(recent)] ?? Buffer.alloc(0);
  }

  #change(corpus: readonly Buffer[]): void {
    const random = this.#random;
    const at = random.below(this.#length + 1);
    switch (random.below(10)) {
      case 0:
        this.#set(at, (this.#scratch[at] ?? 0) ^ (1 << random.below(8)));
        return;
      case 1:
        this.#set(at, INTERESTING[random.below(INTERESTING.length)] ?? 0);
        return;
      case 2:
        this.#set(at, random.below(256));
        return;
      case 3:
        this.#set(at, ((this.#scratch[at] ?? 0) + random.below(9) - 4) & 0xff);
        return;
      case 4:
        this.#remove(at, 1 + random.below(random.chance(0.1) ? 64 : 4));
        return;
      case 5:
        this.#insert(at, this.#scratch.subarray(at, Math.min(this.#length, at + random.below(32))));
        return;
      case 6:
        this.#insert(at, this.#words[random.below(this.#words.length)] ?? Buffer.alloc(0));
        return;
      case 7:
        this.#overwrite(at, RUNS[random.below(RUNS.length)] ?? Buffer.alloc(0));
        return;
      case 8: {
        // The end of another one behind this one's beginning.
        const other = this.#pick(corpus);
        this.#length = at;
        this.#insert(at, other.subarray(random.below(other.length + 1)));
        return;
      }
      default:
        this.#insert(at, Buffer.from([INTERESTING[random.below(INTERESTING.length)] ?? 0]));
    }
  }

  #set(at: number, value: number): void {
    if (at < this.#length) this.#scratch[at] = value;
  }

  #remove(at: number, count: number): void {
    const end = Math.min(this.#length, at + count);
    this.#scratch.copyWithin(at, end, this.#length);
    this.#length -= end - at;
  }

  #insert(at: number, bytes: Uint8Array): void {
    const part = Buffer.from(
      bytes.subarray(0, INPUT_BYTES_MAX - Math.min(this.#length, INPUT_BYTES_MAX)),
    );
    this.#scratch.copyWithin(at + part.length, at, this.#length);
    part.copy(this.#scratch, at);
    this.#length += part.length;
  }

  #overwrite(at: number, bytes: Buffer): void {
    const end = Math.min(this.#length, at + bytes.length);
    bytes.copy(this.#scratch, at, 0, end - at);
  }
}
