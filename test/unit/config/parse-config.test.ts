import { describe, expect, it } from "vitest";
import { renderDiagnostic } from "../../../topology/config/diagnostic.ts";
import { DEFAULT_LIMITS } from "../../../topology/config/limit-readers.ts";
import { parseConfig } from "../../../topology/config/parse-config.ts";

const SITES = `sites:
  nyc:
    cache: { servers: ["127.0.0.1:11222"] }
    nats: { servers: ["nats://127.0.0.1:4222"] }
  lon:
    cache: { servers: ["127.0.0.1:21222"] }
    nats: { servers: ["nats://127.0.0.1:14222"] }
`;

/** A sound file of two sites, with `rest` behind it. */
const file = (rest = "", head = ""): string => `apiVersion: isthmus/v1\n${head}${SITES}${rest}`;

const faults = (source: string): string[] =>
  parseConfig(source, { file: "isthmus.yaml" }).diagnostics.map(renderDiagnostic);

function config(source: string) {
  const parsed = parseConfig(source, { file: "isthmus.yaml" });
  expect(parsed.diagnostics.map(renderDiagnostic)).toEqual([]);
  if (parsed.config === undefined) throw new Error("no config, but no fault either");
  return parsed.config;
}

/** The faults of one rule, without file and place. */
const ruleFaults = (body: string, head = ""): string[] =>
  faults(file(`policies:\n  - ${body.replaceAll("\n", "\n    ")}\n`, head)).map((line) =>
    line.replace(/^isthmus.yaml:\d+:\d+ /, ""),
  );

describe("a sound file", () => {
  it("needs only sites with a cache and a NATS server, and gets every default", () => {
    const parsed = config(file());
    expect(parsed).toMatchObject({
      name: "isthmus",
      preset: "none",
      policies: [],
      limits: DEFAULT_LIMITS,
    });
    expect(parsed.sites.map((site) => site.name)).toEqual(["nyc", "lon"]);
    expect(parsed.sites[0]).toEqual({
      name: "nyc",
      cache: {
        kind: "infinispan",
        servers: [{ host: "127.0.0.1", port: 11222 }],
        auth: undefined,
        tls: undefined,
      },
      nats: {
        servers: ["nats://127.0.0.1:4222"],
        domain: "nyc",
        nkeySeedFile: undefined,
        credsFile: undefined,
        tls: undefined,
        leaf: undefined,
        storeDir: "data/nyc/jetstream",
      },
      frontDoor: undefined,
      http: undefined,
      data: "./data/nyc",
      keycloak: undefined,
    });
  });

  it("may say everything that the interface has", () => {
    const parsed = config(`apiVersion: isthmus/v1
name: sso
preset: keycloak
sites:
  nyc:
    cache:
      kind: infinispan
      servers: ["127.0.0.1:11222", "[::1]:11222"]
      auth: { mechanism: SCRAM-SHA-512, username: isthmus, passwordEnv: NYC_CACHE_PASSWORD, realm: default }
      tls: { caFile: ca.pem, serverName: ispn.nyc.example, certFile: c.pem, keyFile: c.key }
    nats:
      servers: ["nats://127.0.0.1:4222"]
      domain: nyc
      nkeySeedFile: nyc.seed
      tls: { caFile: ca.pem, certFile: c.pem, keyFile: c.key }
      leaf: { listen: "127.0.0.1:7422", advertise: "nats.nyc.example:7422" }
      storeDir: ./data/nyc/jetstream
    frontDoor: { listen: "127.0.0.1:11223", tls: { certFile: c.pem, keyFile: c.key } }
    http: { listen: "127.0.0.1:8480", tokenFile: token }
    data: ./data/nyc
    keycloak: { adminUrl: "https://sso.example", realm: master, clientId: isthmus, clientSecretEnv: KC_SECRET }
  lon:
    cache: { kind: embedded, listen: "127.0.0.1:21222" }
    nats: { servers: ["tls://user:secret@127.0.0.1:14222"], credsFile: lon.creds }
    frontDoor: { listen: "127.0.0.1:21223" }
policies:
  - match: [sessions, clientSessions, actionTokens]
    mode: sync
    timeout: 1500ms
    onTimeout: degrade
    conflict: last-writer-wins
    to: [lon]
    singleUse: home
    evicts: true
  - match: carts
    mode: async
    rename: { lon: carts_v2 }
    conflict: { prefer-site: [nyc, lon] }
  - match: more
    mode: invalidate
    conflict: { merge: keycloak/login-failure }
  - match: "loginFailures"
    mode: off
limits:
  logMaxAge: 24h
  logMaxBytes: 8GiB
  takeOffline: { afterFailures: 3, afterSilence: 30s }
  tombstones: { maxAge: 7d }
  maxClockSkew: 500ms
  maxValueBytes: 1MiB
`);
    expect(parsed.policies[0]).toMatchObject({ timeoutMs: 1500, to: ["lon"], singleUse: "home" });
    expect(parsed.policies[1]?.rename).toEqual(new Map([["lon", "carts_v2"]]));
    expect(parsed.policies[1]?.conflict).toEqual({ preferSite: ["nyc", "lon"] });
    expect(parsed.policies[3]).toMatchObject({ match: ["loginFailures"], mode: "off", line: 42 });
    expect(parsed.limits).toEqual({
      ...DEFAULT_LIMITS,
      takeOffline: { afterFailures: 3, afterSilenceMs: 30_000 },
    });
    expect(parsed.sites[1]?.cache).toEqual({
      kind: "embedded",
      listen: { host: "127.0.0.1", port: 21222 },
    });
  });

  it("may write off as false, as YAML 1.1 writers do", () => {
    const parsed = config(file('policies:\n  - { match: "a", mode: false }\n'));
    expect(parsed.policies[0]?.mode).toBe("off");
  });

  it("keeps sites in the file's order, also when a name is a number", () => {
    const body = (port: number): string =>
      `{ cache: { kind: embedded }, nats: { servers: ["nats://127.0.0.1:${port}"] } }`;
    const parsed = config(`apiVersion: isthmus/v1\nsites:\n  b: ${body(1)}\n  1: ${body(2)}\n`);
    expect(parsed.sites.map((site) => site.name)).toEqual(["b", "1"]);
  });

  it("may repeat a block by an anchor", () => {
    const parsed = config(
      file(
        "policies:\n  - { match: a, mode: sync, to: &to [lon] }\n  - { match: b, mode: async, to: *to }\n",
      ),
    );
    expect(parsed.policies[1]?.to).toEqual(["lon"]);
  });

  it("has its paths resolved against the file's directory", () => {
    const parsed = parseConfig(file(), { file: "isthmus.yaml", directory: "/etc/isthmus" });
    expect(parsed.config?.sites[0]?.data).toBe("/etc/isthmus/data/nyc");
    expect(parsed.config?.sites[0]?.nats.storeDir).toBe("/etc/isthmus/data/nyc/jetstream");
  });
});

describe("faults", () => {
  it("are shown with file, line, column, code, path, what was expected and what was found", () => {
    const source = file("policies:\n  - match: a\n    mode: synk\n");
    expect(faults(source)).toEqual([
      'isthmus.yaml:11:11 error IS1007 policies[0].mode: expected sync|async|invalidate|off|never, got "synk" (did you mean "sync"?)',
    ]);
    expect(parseConfig(source, { file: "x" }).config).toBeUndefined();
  });

  it("are all reported at once, in the file's order", () => {
    const found = faults(`apiVersion: isthmus/v1
nam: sso
preset: keycloack
sites:
  NYC:
    cache: { servers: ["127.0.0.1"] }
    nats: { servers: ["http://127.0.0.1:4222"] }
  lon:
    cache: { kind: embedded, servers: ["127.0.0.1:1"] }
policies:
  - match: 5
    mode: sync
    timeout: 1500
    to: [paris]
limits:
  logMaxAge: 90d
  logMaxBytes: lots
  takeOffline: { afterFailures: -1 }
`);
    expect(found.map((line) => line.replace("isthmus.yaml:", ""))).toEqual([
      '2:1 error IS1005 nam: unknown key (did you mean "name"?)',
      '3:9 error IS1007 preset: expected none|keycloak, got "keycloack" (did you mean "keycloak"?)',
      '5:3 error IS1012 sites.NYC: expected a site name of 1 to 16 characters of a-z, 0-9 and -, got "NYC"',
      '6:24 error IS1013 sites.NYC.cache.servers[0]: expected host:port or [ipv6]:port, got "127.0.0.1"',
      '7:23 error IS1013 sites.NYC.nats.servers[0]: expected a URL such as nats://127.0.0.1:4222 or tls://nats.nyc.example:4222, got "http://127.0.0.1:4222"',
      '9:5 error IS1006 sites.lon: missing key "nats"',
      '9:30 error IS1017 sites.lon.cache.servers: a cache of kind embedded has no "servers"',
      "11:12 error IS1008 policies[0].match: expected a cache's name or a list of them, got 5",
      '13:14 error IS1009 policies[0].timeout: expected a duration such as 250ms, 10s, 5m, 24h or 7d, got 1500 (did you mean "1500ms"?)',
      '14:10 error IS1015 policies[0].to[0]: no site is named "paris"; sites: NYC, lon',
      '16:14 error IS1011 limits.logMaxAge: expected 1m to 30d, got "90d"',
      '17:16 error IS1010 limits.logMaxBytes: expected a size such as 64KiB or 8GiB, got "lots"',
      "18:33 error IS1011 limits.takeOffline.afterFailures: expected 0 to 1000000, got -1",
    ]);
  });

  it("of a text that is no YAML name the place", () => {
    expect(faults("apiVersion: isthmus/v1\nsites: [nyc\n")[0]).toMatch(
      /^isthmus\.yaml:3:1 error IS1001 /,
    );
  });

  it("of an empty file say what it starts with", () => {
    expect(faults("")).toEqual([
      'isthmus.yaml:1:1 error IS1008 expected a mapping that starts with "apiVersion: isthmus/v1", got nothing',
    ]);
    expect(faults("- a\n")[0]).toContain("got a list");
  });

  it("of another apiVersion stop there: nothing else can be judged", () => {
    expect(faults("apiVersion: isthmus/v2\nwhatever: 1\n")).toEqual([
      'isthmus.yaml:1:13 error IS1003 apiVersion: expected isthmus/v1, got "isthmus/v2" (did you mean "isthmus/v1"?); nothing else was looked at',
    ]);
    expect(faults(SITES)).toEqual(['isthmus.yaml:1:1 error IS1006 missing key "apiVersion"']);
  });

  it("of doubled keys are reported beside the others", () => {
    const found = faults(file("policies:\n  - match: a\n    match: b\n    mode: nope\n"));
    expect(found).toHaveLength(2);
    expect(found[0]).toMatch(/^isthmus\.yaml:11:5 error IS1004 /);
    expect(found[1]).toContain("IS1007");
  });

  it("of an empty value point at its key", () => {
    expect(faults(file("limits:\n  tombstones:\n"))).toEqual([
      "isthmus.yaml:10:3 error IS1008 limits.tombstones: expected a mapping, got nothing",
    ]);
  });

  it("of a file larger than any sound one are not looked for", () => {
    expect(faults(file(`# ${"x".repeat(1024 * 1024)}`))[0]).toContain("IS1011");
  });
});

describe("addresses", () => {
  const twoSites = (nyc: string, lon: string): string[] =>
    faults(`apiVersion: isthmus/v1
sites:
  nyc:
    cache: { servers: ["10.0.0.1:11222"] }
    nats: { servers: ["nats://10.0.0.1:4222"] }
    ${nyc}
  lon:
    cache: { servers: ["10.0.0.2:11222"] }
    nats: { servers: ["nats://10.0.0.2:4222"] }
    ${lon}
`);

  it("of two sites differ, for the file is the same at both", () => {
    const listen = 'http: { listen: "127.0.0.1:8480" }';
    expect(twoSites(listen, listen)).toEqual([
      "isthmus.yaml:10:21 error IS1014 sites.lon.http.listen: 127.0.0.1:8480 is already used by sites.nyc.http.listen; give each its own address",
    ]);
  });

  it("of a NATS server count with the port that the URL leaves out", () => {
    const found = faults(file().replace("127.0.0.1:14222", "127.0.0.1"));
    expect(found).toEqual([expect.stringContaining("IS1014 sites.lon.nats.servers[0]")]);
  });

  it("that mean all interfaces may stand at both", () => {
    const listen = 'http: { listen: "0.0.0.0:8480" }';
    expect(twoSites(listen, listen)).toEqual([]);
  });

  it("of a front door and of the cache behind it differ", () => {
    expect(twoSites('frontDoor: { listen: "10.0.0.1:11222" }', "data: ./x")).toEqual([
      expect.stringContaining("IS1014 sites.nyc.frontDoor.listen"),
    ]);
  });

  it.each(["127.0.0.1:0", "127.0.0.1:65536", "a b:1", ":1", "host:", "::1:80"])(
    "such as %s are refused",
    (address) => {
      expect(twoSites(`http: { listen: "${address}" }`, "data: ./x")).toEqual([
        expect.stringContaining("IS1013 sites.nyc.http.listen"),
      ]);
    },
  );

  it("of two JetStream domains differ, given or not", () => {
    const source = file().replace('14222"]', '14222"], domain: nyc');
    expect(faults(source)).toEqual([expect.stringContaining("IS1014 sites.lon.nats.domain")]);
  });
});

describe("a site", () => {
  const cacheFaults = (cache: string): string[] =>
    faults(file().replace('{ servers: ["127.0.0.1:11222"] }', cache));

  it("of kind infinispan needs servers and has no listener", () => {
    expect(cacheFaults("{ kind: infinispan }")).toEqual([
      expect.stringContaining('IS1006 sites.nyc.cache: missing key "servers"'),
    ]);
    expect(cacheFaults('{ servers: ["a:1"], listen: "b:2" }')).toEqual([
      expect.stringContaining("IS1017 sites.nyc.cache.listen: a cache of kind infinispan has no"),
    ]);
    expect(cacheFaults("{ servers: [] }")).toEqual([expect.stringContaining("IS1006")]);
  });

  it("that logs in by a password says whose, and where the password is", () => {
    expect(cacheFaults('{ servers: ["a:1"], auth: { mechanism: PLAIN } }')).toEqual([
      expect.stringContaining('missing key "username": PLAIN needs it'),
      expect.stringContaining('missing key "passwordEnv": PLAIN needs it'),
    ]);
    expect(cacheFaults('{ servers: ["a:1"], auth: { mechanism: EXTERNAL } }')).toEqual([]);
    expect(cacheFaults('{ servers: ["a:1"], auth: { mechanism: OAUTHBEARER } }')).toEqual([
      expect.stringContaining('missing key "passwordEnv": OAUTHBEARER needs it'),
    ]);
  });

  it("gives certificate and key together", () => {
    expect(cacheFaults('{ servers: ["a:1"], tls: { certFile: c.pem } }')).toEqual([
      expect.stringContaining("IS1017 sites.nyc.cache.tls: certFile and keyFile come together"),
    ]);
  });

  it("alone is a warning, for the file is sound", () => {
    const parsed = parseConfig(file().slice(0, file().indexOf("  lon:")), { file: "f" });
    expect(parsed.diagnostics.map((d) => d.severity)).toEqual(["warning"]);
    expect(parsed.config?.sites).toHaveLength(1);
  });
});

describe("a rule", () => {
  it("cannot replicate a cache that the preset calls local", () => {
    const keycloak = "preset: keycloak\n";
    expect(ruleFaults("match: [sessions, realms]\nmode: async", keycloak)).toEqual([
      expect.stringMatching(
        /^error IS1016 policies\[0\]\.match: preset keycloak says never for "realms"/,
      ),
    ]);
    expect(ruleFaults("match: realms\nmode: off", keycloak)).toHaveLength(1);
    expect(ruleFaults("match: realms\nmode: never", keycloak)).toEqual([]);
    expect(ruleFaults('match: "*"\nmode: async', keycloak)).toEqual([]);
    expect(ruleFaults("match: realms\nmode: async")).toEqual([]);
  });

  it("names only sites of the file", () => {
    expect(ruleFaults("match: a\nmode: async\nrename: { nyx: b }")).toEqual([
      'error IS1015 policies[0].rename.nyx: no site is named "nyx" (did you mean "nyc"?)',
    ]);
    expect(ruleFaults("match: a\nmode: async\nconflict: { prefer-site: [nyc, rome] }")).toEqual([
      'error IS1015 policies[0].conflict.prefer-site[1]: no site is named "rome"; sites: nyc, lon',
    ]);
  });

  it("has one conflict policy", () => {
    expect(ruleFaults("match: a\nmode: async\nconflict: last-writer-win")).toEqual([
      expect.stringContaining('(did you mean "last-writer-wins"?)'),
    ]);
    expect(
      ruleFaults("match: a\nmode: async\nconflict: { merge: keycloak/login-failures }"),
    ).toEqual([expect.stringContaining('(did you mean "keycloak/login-failure"?)')]);
    expect(ruleFaults("match: a\nmode: async\nconflict: {}")).toEqual([
      expect.stringContaining("IS1017 policies[0].conflict: expected one of"),
    ]);
    expect(ruleFaults("match: a\nmode: async\nconflict: { merge: ./mine.mjs }")).toEqual([]);
  });

  it("renames one cache only", () => {
    expect(ruleFaults("match: [a, b]\nmode: async\nrename: { lon: c }")).toEqual([
      expect.stringContaining(
        "IS1017 policies[0].rename: rename needs a rule for exactly one cache",
      ),
    ]);
  });

  it("that says something without effect gets a warning", () => {
    expect(ruleFaults("match: a\nmode: async\ntimeout: 1s")).toEqual([
      "warning IS1019 policies[0].timeout: only mode sync waits; this is async",
    ]);
    expect(ruleFaults("match: a\nmode: sync\nsingleUse: home")).toEqual([
      "warning IS1019 policies[0].singleUse: only a front door asks the key's home; without frontDoor: nyc, lon",
    ]);
  });

  it("behind one that takes all its caches gets a warning", () => {
    const found = faults(
      file(
        'policies:\n  - { match: "s*", mode: sync }\n  - { match: [sessions, stock], mode: off }\n  - { match: [stock, a], mode: off }\n',
      ),
    );
    expect(found).toEqual([
      expect.stringContaining("isthmus.yaml:11:14 warning IS1018 policies[1].match"),
    ]);
  });
});
