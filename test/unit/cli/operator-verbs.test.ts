import { describe, expect, it } from "vitest";
import { ErrorCode } from "../../../topology/errors.ts";
import { runIsthmus, twoSites } from "./run-isthmus.ts";

/** Nothing listens there. */
const FILE = twoSites("policies: [{ match: sessions, mode: async }]\n")
  .replaceAll("127.0.0.1:4222", "127.0.0.1:1")
  .replace(":14222", ":2");
const RESEED = ["--from", "nyc", "--to", "lon", "--reseed"];
const run = (...argv: string[]) => runIsthmus(argv, { "isthmus.yaml": FILE });

describe("the operator's verbs", () => {
  it("judge the command line before they connect to anything", async () => {
    const wrong: Array<[expected: string, ...argv: string[]]> = [
      ['expected "conflicts" or "conflicts restore ID"', "conflicts", "drop", "nyc:1"],
      ['expected "conflicts" or "conflicts restore ID"', "conflicts", "restore"],
      ["expected an ID such as nyc:12", "conflicts", "restore", "12"],
      ['no site "nyk" (did you mean "nyc"?)', "conflicts", "restore", "nyk:12"],
      ["--confirm: expected nyc", "conflicts", "restore", "nyc:1", "--confirm", "lon"],
      ["--since: expected an age", "conflicts", "--since", "yesterday"],
      ["--since: expected an age", "dead-letters", "--since", "1 hour"],
      ['expected "dead-letters" or', "dead-letters", "retry", "nyc:1", "more"],
      ["expected an ID such as nyc:12", "dead-letters", "retry", "nyc:x"],
      ["trace needs a cache", "trace", "sessions"],
      ["is no hex", "trace", "sessions", "hex:0"],
      ["--target is missing: one of nyc, lon", "pause", "--cache", "sessions"],
      ["--cache is missing", "resume", "--target", "lon"],
      ['no site "lom" (did you mean "lon"?)', "pause", "--cache", "sessions", "--target", "lom"],
      [
        '"carts" is not replicated: its mode is off',
        "pause",
        "--target",
        "lon",
        "--cache",
        "carts",
      ],
      ["--target is missing", "offline"],
      ["--confirm: expected lon", "resync", "--from", "nyc", "--to", "lon", "--confirm", "lon"],
      ["--confirm: expected lon", "resync", ...RESEED, "--confirm", "nyc"],
      ['no site "lom" (did you mean "lon"?)', "online", "--target", "lom"],
      ['"session" is not replicated', "offline", "--target", "lon", "--cache", "session"],
      ['(did you mean "sessions"?)', "offline", "--target", "lon", "--cache", "session"],
    ];
    for (const [expected, ...argv] of wrong) {
      const { code, out, err } = await run(...argv);
      expect([code, out]).toEqual([2, ""]);
      expect(err).toContain(ErrorCode.UsageInvalid);
      expect(err).toContain(expected);
    }
  });

  it("end 3 and say why for each site when no site's NATS can be reached", async () => {
    const all = [
      ["conflicts"],
      ["dead-letters", "--since", "1h"],
      ["trace", "sessions", "k"],
      ["pause", "--cache", "sessions", "--target", "lon"],
      ["online", "--target", "lon"],
    ];
    for (const argv of all) {
      const { code, out, err } = await run(...argv);
      expect([code, out]).toEqual([3, ""]);
      expect(err).toContain(`${ErrorCode.NoSiteReached} no site's NATS could be reached`);
      expect(err).toMatch(/nyc: IS3001 .*\n *lon: IS3001/);
    }
  });

  it("say in their help what --json prints", async () => {
    for (const [verb, json] of [
      ["conflicts", "conflicts"],
      ["dead-letters", "deadLetters"],
      ["trace", "versions"],
    ] as const)
      expect((await run(verb, "--help")).out).toMatch(new RegExp(`--json prints .*"?${json}"?:`));
  });
});
