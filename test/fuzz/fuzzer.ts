import { getHeapStatistics } from "node:v8";
import type { Coverage } from "./coverage.ts";
import { INPUT_BYTES_MAX, Mutator } from "./mutator.ts";
import type { FuzzTarget } from "./targets.ts";

/** Most memory that one input may take: a buffer, or the heap's growth. Inputs have 4 KiB at most. */
export const ALLOCATION_BYTES_MAX = 8 * 1024 * 1024;

/** An input that a target does not stand. */
export interface Finding {
  readonly target: string;
  readonly input: Buffer;
  readonly error: unknown;
}

/** What a run has done. */
export interface FuzzStats {
  inputs: number;
  corpus: number;
  /** Characters of the covered files that were reached; 0 without coverage. */
  characters: number;
}

/** Told of each input before it runs, so that one which never ends, or ends the process, is known. */
export type Watch = (input: Buffer) => void;

const BATCH_INPUTS_MAX = 16_384;
/** Findings of one run: behind the first ones the same faults come again. */
const FINDINGS_MAX = 20;

/** An input asked for more memory than any may. */
class TooMuchMemory extends Error {}

/**
 * Runs mutated inputs through a target, in batches. Where a batch reached code that none before it did, the inputs that did
 * so join the corpus: halves of the batch run again until they are found.
 */
export class Fuzzer {
  readonly stats: FuzzStats = { inputs: 0, corpus: 0, characters: 0 };
  readonly findings: Finding[] = [];
  readonly #target: FuzzTarget;
  readonly #coverage: Coverage | undefined;
  readonly #mutator: Mutator;
  readonly #watch: Watch;
  readonly #corpus: Buffer[] = [];
  readonly #seen = new Set<string>();
  #batchInputs = 64;

  constructor(
    target: FuzzTarget,
    options: {
      readonly seed: number;
      readonly coverage?: Coverage | undefined;
      readonly words?: readonly Buffer[];
      readonly watch?: Watch;
    },
  ) {
    this.#target = target;
    this.#coverage = options.coverage;
    this.#mutator = new Mutator(options.seed, options.words);
    this.#watch = options.watch ?? (() => undefined);
  }

  /** Runs the seeds: the corpus to begin with. */
  seed(seeds: readonly Buffer[]): void {
    for (const seed of seeds) {
      const input = seed.subarray(0, INPUT_BYTES_MAX);
      this.#try(input);
      this.#corpus.push(Buffer.from(input));
    }
    this.#coverage?.take();
    this.#counted();
  }

  /** Runs about so many more inputs, or until there are more findings than anyone reads. */
  run(inputs: number): void {
    const end = this.stats.inputs + inputs;
    while (this.stats.inputs < end && this.findings.length < FINDINGS_MAX) {
      const count = Math.min(this.#batchInputs, end - this.stats.inputs);
      const batch = Array.from({ length: count }, () =>
        Buffer.from(this.#mutator.next(this.#corpus)),
      );
      for (const input of batch) this.#try(input);
      const isNew = this.#coverage !== undefined && this.#coverage.take(false) > 0;
      if (isNew) this.#sort(batch);
      // Looking at the coverage takes as long as thousands of inputs: less often, the less there is to find.
      this.#batchInputs = isNew
        ? Math.max(64, this.#batchInputs / 4)
        : Math.min(BATCH_INPUTS_MAX, this.#batchInputs * 2);
    }
  }

  /** Keeps the inputs of a batch that reach something new. */
  #sort(batch: readonly Buffer[]): void {
    for (const input of batch) this.#try(input, false);
    const isNew = (this.#coverage?.take(batch.length === 1) ?? 0) > 0;
    if (!isNew) return;
    const [only] = batch;
    if (batch.length === 1 && only !== undefined) {
      this.#keep(only);
      return;
    }
    const half = Math.ceil(batch.length / 2);
    this.#sort(batch.slice(0, half));
    this.#sort(batch.slice(half));
  }

  #keep(input: Buffer): void {
    this.#corpus.push(Buffer.from(input));
    this.#counted();
  }

  #counted(): void {
    this.stats.corpus = this.#corpus.length;
    this.stats.characters = this.#coverage?.characters ?? 0;
  }

  #try(input: Buffer, counts = true): void {
    this.#watch(input);
    const { stackTraceLimit } = Error;
    const before = getHeapStatistics().used_heap_size;
    try {
      // A refusal is an error like any other, and its stack would take most of the time.
      Error.stackTraceLimit = 0;
      this.#target.run(input);
      const grown = getHeapStatistics().used_heap_size - before;
      if (grown > ALLOCATION_BYTES_MAX) throw new TooMuchMemory(`the heap grew by ${grown} bytes`);
    } catch (error) {
      this.#found(input, error);
    } finally {
      Error.stackTraceLimit = stackTraceLimit;
    }
    if (counts) this.stats.inputs += 1;
  }

  /** One finding for each place that throws. */
  #found(input: Buffer, thrown: unknown): void {
    const error = this.#withStack(input) ?? thrown;
    const place = error instanceof Error ? placeOf(error) : String(error);
    if (this.#seen.has(place)) return;
    this.#seen.add(place);
    this.findings.push({ target: this.#target.name, input: Buffer.from(input), error });
  }

  /** What the input throws once more, with a stack. */
  #withStack(input: Buffer): unknown {
    Error.stackTraceLimit = 10;
    try {
      this.#target.run(input);
      return undefined;
    } catch (error) {
      return error;
    }
  }
}

/** The error's class and the first places on its stack. */
const placeOf = ({ name, stack = "" }: Error): string =>
  [name, ...(stack.match(/^ +at .*$/gm) ?? []).slice(0, 3)].join("\n");

/** Makes an ask for a larger buffer throw, until the returned function is called. */
export function limitBuffers(): () => void {
  const names = ["alloc", "allocUnsafe", "allocUnsafeSlow"] as const;
  const originals = names.map((name) => Buffer[name].bind(Buffer));
  for (const [i, name] of names.entries()) {
    const original = originals[i] as (size: number, ...rest: unknown[]) => Buffer<ArrayBuffer>;
    Buffer[name] = (size: number, ...rest: unknown[]) => {
      if (size > ALLOCATION_BYTES_MAX) throw new TooMuchMemory(`a buffer of ${size} bytes`);
      return original(size, ...rest);
    };
  }
  return () => {
    for (const [i, name] of names.entries()) {
      Buffer[name] = originals[i] as (size: number) => Buffer<ArrayBuffer>;
    }
  };
}
