import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FILE_RANGES } from "../../../topology/limits.ts";
import { parseConfig } from "../../../topology/config/parse-config.ts";
import { suggest } from "../../../topology/config/suggest.ts";
import { formatDuration, formatSize, natsAddress } from "../../../topology/config/value-readers.ts";

const EXAMPLE = join(import.meta.dirname, "../../../deploy/examples/two-site-keycloak.yaml");

const withLimits = (limits: string) =>
  parseConfig(
    `apiVersion: isthmus/v1
sites:
  nyc: { cache: { kind: embedded }, nats: { servers: ["nats://127.0.0.1:4222"] } }
  lon: { cache: { kind: embedded }, nats: { servers: ["nats://127.0.0.1:4223"] } }
limits: { ${limits} }
`,
    { file: "f" },
  );

describe("durations and sizes", () => {
  it.each([
    ["250ms", 250],
    ["10s", 10_000],
    ["1m", 60_000],
  ])("%s is read", (text, ms) => {
    expect(withLimits(`maxClockSkew: ${text}`).config?.limits.maxClockSkewMs).toBe(ms);
  });

  it.each([
    ["64MiB", 2 ** 26],
    ["16TiB", 2 ** 44],
    ["67108864B", 2 ** 26],
  ])("%s is read", (text, bytes) => {
    expect(withLimits(`logMaxBytes: ${text}`).config?.limits.logMaxBytes).toBe(bytes);
  });

  it.each(["1.5s", "-1s", "10", "s", "10 min", "1h30m", "[1s]", "10S"])("%s is refused", (text) => {
    const [fault, ...others] = withLimits(`maxClockSkew: ${text}`).diagnostics;
    expect(fault?.code).toBe("IS1009");
    expect(others).toEqual([]);
  });

  it("are written as they are read, for any value in range", () => {
    const { min, max } = FILE_RANGES.logMaxAgeMs;
    fc.assert(
      fc.property(fc.integer({ min, max }), (ms) => {
        expect(withLimits(`logMaxAge: ${formatDuration(ms)}`).config?.limits.logMaxAgeMs).toBe(ms);
      }),
      { numRuns: 50 },
    );
    expect(formatDuration(0)).toBe("0ms");
    expect(formatSize(8 * 2 ** 30)).toBe("8GiB");
  });

  it("accept both ends of their range and nothing beyond", () => {
    const { min, max } = FILE_RANGES.maxClockSkewMs;
    for (const [ms, faults] of [
      [min, 0],
      [max, 0],
      [min - 1, 1],
      [max + 1, 1],
    ] as const)
      expect(withLimits(`maxClockSkew: ${ms}ms`).diagnostics).toHaveLength(faults);
  });
});

describe("the parser", () => {
  it("answers any damage to a sound file with a config or an error, and never throws", () => {
    const sound = readFileSync(EXAMPLE, "utf8");
    const scraps = [
      "\n",
      "  ",
      ": ",
      "- ",
      "[",
      "]",
      "{",
      "}",
      "&a ",
      "*a",
      "'",
      '"',
      "#",
      "null",
      "~",
      "!!x ",
      "1",
    ];
    const damage = fc.record({
      at: fc.nat(sound.length),
      cut: fc.nat(30),
      insert: fc.array(fc.constantFrom(...scraps), { maxLength: 3 }),
    });
    fc.assert(
      fc.property(fc.array(damage, { minLength: 1, maxLength: 3 }), (damages) => {
        let source = sound;
        for (const { at, cut, insert } of damages)
          source = source.slice(0, at) + insert.join("") + source.slice(at + cut);
        const { config, diagnostics } = parseConfig(source, { file: "f" });
        expect(config === undefined).toBe(diagnostics.some((d) => d.severity === "error"));
        for (const { line, col } of diagnostics) expect(Math.min(line, col)).toBeGreaterThan(0);
      }),
      { numRuns: 500 },
    );
  });
});

describe("a suggestion", () => {
  it("is the nearest word, letter case aside, and none when all are far", () => {
    expect(suggest("frontdoor", ["frontDoor", "http"])).toBe("frontDoor");
    expect(suggest("synk", ["sync", "async"])).toBe("sync");
    expect(suggest("banana", ["sync", "async"])).toBeUndefined();
  });
});

describe("a NATS URL", () => {
  it("has host and port, 4222 if it says none", () => {
    expect(natsAddress("nats://a.example")).toEqual({ host: "a.example", port: 4222 });
    expect(natsAddress("tls://user:pw@[::1]:5")).toEqual({ host: "::1", port: 5 });
    expect(natsAddress("nats://a:1/path")).toBeUndefined();
    expect(natsAddress("a:1")).toBeUndefined();
  });
});
