// Goal: no bytes from outside make a decoder or the reader of the file do anything but decode or refuse, and the fuzzer that
// says so notices if one does.
// Method: the short form of `npm run fuzz`, over valid inputs with some changes each; then targets with faults planted.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Coverage } from "../../fuzz/coverage.ts";
import { ALLOCATION_BYTES_MAX, Fuzzer, limitBuffers } from "../../fuzz/fuzzer.ts";
import { INPUT_BYTES_MAX, Mutator } from "../../fuzz/mutator.ts";
import { seedsOf } from "../../fuzz/seeds.ts";
import { type FuzzTarget, TARGETS } from "../../fuzz/targets.ts";

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

describe("a corpus that grows by the coverage that inputs reach", () => {
  const folder = mkdtempSync(join(tmpdir(), "isthmus-fuzz-"));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** A program that throws behind four bytes, each looked at only when those before it are right. */
  function lock(name: string): FuzzTarget {
    const path = join(folder, `${name}.cjs`);
    const tests = [0x49, 0x53, 0x54, 0x48].map(
      (byte, i) => `if (b[${i}] !== ${byte}) return ${i};`,
    );
    writeFileSync(
      path,
      `exports.run = (b) => {\n${tests.join("\n")}\nthrow new TypeError("open");\n};\n`,
    );
    // Not by import, which the test runner would translate: the offsets are those of the file.
    const loaded = createRequire(path)(path) as FuzzTarget;
    return { name, covers: new RegExp(`${name}\\.cjs$`), run: (input) => loaded.run(input) };
  }

  it("gets behind what chance alone does not", () => {
    const seeds = [Buffer.from("abcd")];
    const guided = lock("guided");
    const coverage = new Coverage(guided.covers);
    try {
      const fuzzer = new Fuzzer(guided, { seed: 4, coverage });
      fuzzer.seed(seeds);
      fuzzer.run(100_000);
      expect(fuzzer.findings.map(({ input }) => input.toString("latin1", 0, 4))).toEqual(["ISTH"]);
      expect(fuzzer.stats.corpus).toBeGreaterThanOrEqual(4);
    } finally {
      coverage.close();
    }
    const blind = new Fuzzer(lock("blind"), { seed: 7 });
    blind.seed(seeds);
    blind.run(100_000);
    expect(blind.findings).toEqual([]);
  });
});

describe("the mutator", () => {
  it("draws the same inputs from the same seed, within the bound, and others from another", () => {
    const corpus = [Buffer.alloc(0), Buffer.from("short"), Buffer.alloc(INPUT_BYTES_MAX, 7)];
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
