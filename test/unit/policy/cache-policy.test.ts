import { describe, expect, it } from "vitest";
import type { Config } from "../../../topology/config/config.ts";
import { keycloakPreset } from "../../../topology/config/presets/keycloak.ts";
import { parseConfig } from "../../../topology/config/parse-config.ts";
import { cachesOf, localName, policyOf, targetsOf } from "../../../topology/policy/cache-policy.ts";
import { conflictPolicyHash } from "../../../topology/policy/conflict-policy-hash.ts";
import { reaches } from "../../../topology/policy/reach.ts";

function config(policies: string, preset = "none"): Config {
  const site = (port: number): string =>
    `{ cache: { kind: embedded }, nats: { servers: ["nats://127.0.0.1:${port}"] } }`;
  const parsed = parseConfig(
    `apiVersion: isthmus/v1
preset: ${preset}
sites: { nyc: ${site(1)}, lon: ${site(2)}, fra: ${site(3)} }
policies: ${policies}
`,
    { file: "f" },
  );
  if (parsed.config === undefined) throw new Error(JSON.stringify(parsed.diagnostics));
  return parsed.config;
}

describe("a cache's policy", () => {
  it("is the first rule that takes it, with the defaults and the reason", () => {
    const file = config('[{ match: [a, b], mode: sync }, { match: "*", mode: async }]');
    expect(policyOf(file, "b")).toEqual({
      cache: "b",
      mode: "sync",
      timeoutMs: 1500,
      onTimeout: "degrade",
      conflict: "last-writer-wins",
      to: undefined,
      rename: new Map(),
      evicts: false,
      singleUse: undefined,
      localKeys: [],
      reason: "policies[0] (line 4)",
    });
    expect(policyOf(file, "c")).toMatchObject({
      mode: "async",
      reason: 'policies[1] (line 4) by the pattern "*"',
    });
  });

  it("is off when nothing names it", () => {
    expect(policyOf(config("[]"), "a")).toMatchObject({ mode: "off", reason: "no rule names it" });
  });

  it("comes from the preset only when no rule takes the cache", () => {
    const file = config("[{ match: loginFailures, mode: off }]", "keycloak");
    expect(policyOf(file, "loginFailures").mode).toBe("off");
    expect(policyOf(file, "work")).toMatchObject({
      mode: "async",
      reason: "preset keycloak: cluster events, kept for their 120 s",
    });
  });

  it("is never for a cache that the preset calls local, whatever a pattern says", () => {
    const file = config('[{ match: "*", mode: sync }]', "keycloak");
    expect(policyOf(file, "realms").mode).toBe("never");
    expect(policyOf(file, "sessions").reason).toContain("policies[0]");
  });
});

describe("the caches of a file", () => {
  it("are those that it names exactly, then the preset's, each once", () => {
    const file = config('[{ match: [work, mine, "x*"], mode: sync }]', "keycloak");
    const caches = cachesOf(file);
    expect(caches.slice(0, 3)).toEqual(["work", "mine", "realms"]);
    expect(caches).toHaveLength(keycloakPreset.length + 1);
  });
});

describe("the keycloak preset", () => {
  it("has the documented mode for each of Keycloak's caches", () => {
    const modes = Object.fromEntries(keycloakPreset.map((row) => [row.cache, row.mode]));
    expect(modes).toEqual({
      realms: "never",
      users: "never",
      authorization: "never",
      keys: "never",
      crl: "never",
      work: "async",
      sessions: "sync",
      clientSessions: "sync",
      offlineSessions: "sync",
      offlineClientSessions: "sync",
      authenticationSessions: "sync",
      actionTokens: "sync",
      loginFailures: "async",
    });
  });
});

describe("targets and local names", () => {
  it("are every other site, or those of `to` without the origin", () => {
    const file = config("[{ match: a, mode: async, to: [lon, nyc] }, { match: b, mode: async }]");
    expect(targetsOf(file, policyOf(file, "a"), "nyc")).toEqual(["lon"]);
    expect(targetsOf(file, policyOf(file, "a"), "fra")).toEqual(["nyc", "lon"]);
    expect(targetsOf(file, policyOf(file, "b"), "lon")).toEqual(["nyc", "fra"]);
  });

  it("follow rename at its site only", () => {
    const file = config("[{ match: a, mode: async, rename: { lon: a2 } }]");
    expect(localName(policyOf(file, "a"), "lon")).toBe("a2");
    expect(localName(policyOf(file, "a"), "nyc")).toBe("a");
  });
});

describe("a pattern", () => {
  it.each([
    ["*", "anything", true],
    ["s*", "sessions", true],
    ["s*", "offlineSessions", false],
    ["*Sessions", "offlineSessions", true],
    ["a*b*c", "a-b-b-c", true],
    ["a*b*c", "acb", false],
    ["ab*ba", "aba", false],
    ["*b*b", "b", false],
    ["a.c", "abc", false],
  ])("%s takes %s: %s", (pattern, cache, expected) => {
    expect(reaches("none", pattern, cache)).toBe(expected);
  });
});

describe("the hash of a conflict policy", () => {
  const content = (text: string): Uint8Array => Buffer.from(text);

  it("differs for each policy and is the same at each call", () => {
    const hashes = [
      conflictPolicyHash("last-writer-wins"),
      conflictPolicyHash("first-writer-wins"),
      conflictPolicyHash("prefer-put"),
      conflictPolicyHash("prefer-remove"),
      conflictPolicyHash({ preferSite: ["nyc", "lon"] }),
      conflictPolicyHash({ preferSite: ["lon", "nyc"] }),
      conflictPolicyHash({ merge: "keycloak/login-failure" }),
      conflictPolicyHash({ merge: "./m.mjs" }, content("a")),
      conflictPolicyHash({ merge: "./m.mjs" }, content("b")),
    ];
    expect(new Set(hashes).size).toBe(hashes.length);
    for (const hash of hashes) expect(hash).toMatch(/^[0-9a-f]{16}$/);
    // Sites of two releases compare it: it must not change.
    expect(hashes[0]).toBe("8a9d82b8c970c2d5");
    // A built-in merge by its name and version, in merge-name.ts: raise that one when its rules change, and only then.
    expect(hashes[6]).toBe("798389732f0d37d2");
  });

  it("of a merge module is its content's, wherever the module lies", () => {
    expect(conflictPolicyHash({ merge: "/etc/m.mjs" }, content("a"))).toBe(
      conflictPolicyHash({ merge: "./m.mjs" }, content("a")),
    );
    expect(() => conflictPolicyHash({ merge: "./m.mjs" })).toThrow("no content given");
  });
});
