// Goal: no bytes from outside make a decoder or the reader of the file do anything but decode or refuse, and the fuzzer that
// says so notices if one does.
// Method: the short form of `npm run fuzz`, over valid inputs with some changes each; then targets with faults planted.
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ALLOCATION_BYTES_MAX, Fuzzer, limitBuffers } from "../../fuzz/fuzzer.ts";
import { INPUT_BYTES_MAX, Mutator } from "../../fuzz/mutator.ts";
import { seedsOf } from "../../fuzz/seeds.ts";
import { TARGETS } from "../../fuzz/targets.ts";

const SEED = 20_261_121;
/** About a second each. */
const INPUTS: Readonly<Record<string, number>> = { codec: 10_000, wire: 20_000, file: 200 };

let unlimit: () => void;
beforeAll(() => {
  unlimit = limitBuffers();
});
afterAll(() => unlimit());

describe("mutated inputs", () => {
  for (const target of TARGETS) {
    it(`are decoded or refused, and nothing else: ${target.name}`, () => {
      const { inputs, words } = seedsOf(target.name, SEED);
      const fuzzer = new Fuzzer(target, { seed: SEED, words });
      fuzzer.seed(inputs);
      fuzzer.run(INPUTS[target.name] ?? 0);
      const found = fuzzer.findings.map(({ input, error }) => [input.toString("hex"), error]);
      expect(found).toEqual([]);
      expect(fuzzer.stats.inputs).toBe(inputs.length + (INPUTS[target.name] ?? 0));
    });
  }
});

describe("the fuzzer", () => {
  const find = (run: (input: Buffer) => void) => {
    const fuzzer = new Fuzzer({ name: "planted", covers: /none/, run }, { seed: 1 });
    fuzzer.seed([Buffer.from("abcdef")]);
    fuzzer.run(20_000);
    return fuzzer.findings;
  };

  it("finds an input that makes a target throw anything but its refusal, once", () => {
    const findings = find((input) => {
      if (input[2] === 0xff) throw new TypeError("planted");
    });
    expect(findings).toHaveLength(1);
    expect(findings[0]?.error).toBeInstanceOf(TypeError);
    expect(findings[0]?.input[2]).toBe(0xff);
  });

  it("finds what asks for a larger buffer than any may, and what fills the heap", () => {
    const large = find((input) => {
      if (input[0] === 0x80) Buffer.alloc(ALLOCATION_BYTES_MAX + 1);
    });
    expect(String(large[0]?.error)).toContain("a buffer of");
    const kept: unknown[] = [];
    const full = find((input) => {
      if (input[0] === 0x80 && kept.length === 0) kept.push(Array(ALLOCATION_BYTES_MAX).fill(1));
    });
    expect(String(full[0]?.error)).toContain("the heap grew");
  });
});

describe("the mutator", () => {
  it("draws the same inputs from the same seed, within the bound, and others from another", () => {
    const corpus = [Buffer.alloc(INPUT_BYTES_MAX, 7), Buffer.from("short"), Buffer.alloc(0)];
    const draw = (seed: number): string[] => {
      const mutator = new Mutator(seed);
      return Array.from({ length: 2_000 }, () => {
        const input = mutator.next(corpus);
        expect(input.length).toBeLessThanOrEqual(INPUT_BYTES_MAX);
        return input.toString("latin1");
      });
    };
    const first = draw(1);
    expect(draw(1)).toEqual(first);
    expect(draw(2)).not.toEqual(first);
    expect(new Set(first).size).toBeGreaterThan(1_000);
  });
});
