import { describe, expect, it } from "vitest";
import { runIsthmus, twoSites } from "./run-isthmus.ts";

const files = {
  "isthmus.yaml": twoSites(`preset: keycloak
policies:
  - { match: orders, mode: sync, timeout: 2s, onTimeout: fail }
  - { match: audit, mode: async, to: [lon], rename: { lon: audit2 }, evicts: true }
  - { match: "x-*", mode: invalidate }
`),
};

describe("isthmus caches", () => {
  it("shows mode, hold, conflict policy, targets and the reason of each cache", async () => {
    const { code, out, err } = await runIsthmus(["caches"], files);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    const rows = out.split("\n").map((line) => line.split(/ {2,}/));
    expect(rows[0]).toEqual(["CACHE", "MODE", "HOLD", "CONFLICT", "TO", "WHY"]);
    expect(rows[1]).toEqual([
      "orders",
      "sync",
      "2s, then fail",
      "last-writer-wins",
      "all",
      "policies[0] (line 13)",
    ]);
    expect(rows[2]).toEqual([
      "audit",
      "async",
      "last-writer-wins",
      "lon",
      "audit2 at lon, evicts; policies[1] (line 14)",
    ]);
    expect(rows).toContainEqual([
      "realms",
      "never",
      "preset keycloak: local to each Keycloak; invalidated by messages in work",
    ]);
    expect(rows).toContainEqual(["x-*", "invalidate", "policies[2] (line 15)"]);
    expect(rows.at(-2)).toEqual(["any other", "off", "no rule names it"]);
  });

  it("shows a site's own targets and names with --site", async () => {
    const { out } = await runIsthmus(["caches", "--site", "lon"], files);
    expect(out).toMatch(/^orders .* nyc {2,}policies\[0\]/m);
    expect(out).toMatch(/^audit \(here audit2\) /m);
  });

  it("prints one object with --json", async () => {
    const { out } = await runIsthmus(["caches", "--json", "--site", "nyc"], files);
    const report = JSON.parse(out) as { caches: unknown[]; patterns: unknown[] };
    expect(report.caches[1]).toEqual({
      cache: "audit",
      mode: "async",
      timeoutMs: 1500,
      onTimeout: "degrade",
      conflict: "last-writer-wins",
      to: ["lon"],
      rename: { lon: "audit2" },
      evicts: true,
      singleUse: null,
      localKeys: [],
      reason: "policies[1] (line 14)",
      targets: ["lon"],
      localName: "audit",
    });
    expect(report.patterns).toEqual([
      { match: "x-*", mode: "invalidate", reason: "policies[2] (line 15)" },
      { match: "any other", mode: "off", reason: "no rule names it" },
    ]);
  });
});
