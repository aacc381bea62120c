// Goal: what the Java client does to one site's Infinispan shows at the other, once, byte for byte, and nothing else does.
// Method: two sites with a real Infinispan and nats-server each, Keycloak's preset, one Java client; the recorded requests of
// a real Keycloak as they were sent.
import { describe, expect, it } from "vitest";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { resolveExpiration } from "../../topology/hotrod/expiration.ts";
import { requestDecoder } from "../../topology/hotrod/frame.ts";
import type { HotRodRequest } from "../../topology/hotrod/messages.ts";
import { encodeRequest } from "../../topology/hotrod/request.ts";
import { decodeRecord, encodeBatch } from "../../topology/mutation/batch.ts";
import { logSubject } from "../../topology/names.ts";
import { makeDot } from "../../topology/version/dot.ts";
import { valueHash } from "../../topology/version/value-hash.ts";
import { FrameClient } from "../support/frame-client.ts";
import { keycloakFrames } from "../support/golden-frames.ts";
import type { JavaCache, JavaEntry } from "../support/java-client.ts";
import { linkTo, TEST_LIMITS, until } from "../support/linked-sites.ts";
import { expiry, ReplicatedSites } from "../support/replicated-sites.ts";
import type { ReplicatedSite } from "../support/replicated-site.ts";
import { realRandom } from "../support/real-time.ts";
import { shared } from "../support/server-provider.ts";

const HANDLED = [
  "work",
  "sessions",
  "clientSessions",
  "offlineSessions",
  "offlineClientSessions",
  "authenticationSessions",
  "actionTokens",
  "loginFailures",
];
const LOCAL = ["realms", "users", "authorization", "keys", "crl"];
const PROTOSTREAM = "application/x-protostream";
const never = new AbortController().signal;

const sites = shared(async () => {
  const caches = Object.fromEntries([...HANDLED, ...LOCAL].map((name) => [name, {}]));
  const started = await ReplicatedSites.start({
    preset: "keycloak",
    sites: [
      { name: "nyc", caches },
      { name: "lon", caches },
    ],
    policies: ["{ match: realms, mode: never }"],
  });
  await started.run();
  return started;
});

const key = (name: string): Buffer => Buffer.from(name);
/** Bytes that no text has, another run of them for each name. */
const value = (name: string): Buffer =>
  Buffer.concat([Buffer.from([0x98, 0x01, 0x00, 0xff]), Buffer.from(name)]);
const hex = (name: string): string => key(name).toString("hex");

const stats = (site: string, cache: string) => {
  const { agent } = sites().site(site).handled(cache);
  if (agent === undefined) throw new Error(`${cache} is not handled at ${site}`);
  return agent.stats;
};

/** Mutations that both sites have published of a cache, and local changes that they saw. */
function sent(cache: string): { nyc: number; lon: number } {
  return {
    nyc: stats("nyc", cache).publishedMutations,
    lon: stats("lon", cache).publishedMutations,
  };
}

const DIRECTIONS = [
  ["nyc", "lon"],
  ["lon", "nyc"],
] as const;

/** Each operation of the Java client once, on keys of its own. Returns how many keys it changed, each time counted. */
async function everyOperation(cache: JavaCache): Promise<number> {
  const version = async (name: string): Promise<bigint> =>
    (await cache.getWithMetadata(key(name)))?.version ?? 0n;
  await cache.put(key("put"), value("put"));
  await cache.put(key("put-empty"), Buffer.alloc(0));
  await cache.putIfAbsent(key("put-if-absent"), value("absent"), { lifespanMs: 90_500 });
  await cache.put(key("lifespan"), value("lifespan"), { lifespanMs: 60_000 });
  await cache.put(key("idle"), value("idle"), { maxIdleMs: 40_000 });
  await cache.put(key("both"), value("both"), { lifespanMs: 3_600_000, maxIdleMs: 600_000 });
  await cache.put(key("immortal again"), value("1"), { lifespanMs: 60_000 });
  await sites().level("sessions");
  await cache.put(key("immortal again"), value("1"));
  await cache.replace(key("put"), value("replaced"));
  await cache.replaceWithVersion(key("lifespan"), value("cas"), await version("lifespan"), {
    lifespanMs: 120_000,
  });
  await cache.put(key("removed"), value("removed"));
  await cache.put(key("removed by version"), value("removed"));
  await sites().level("sessions");
  await cache.remove(key("removed"));
  await cache.removeWithVersion(key("removed by version"), await version("removed by version"));
  const many = Array.from({ length: 300 }, (_, i) => [key(`all-${i}`), value(`all-${i}`)] as const);
  await cache.putAll(many, { lifespanMs: 1_800_000 });
  return 7 + 3 + 2 + 2 + 300;
}

function expectEveryOperation(found: ReadonlyMap<string, JavaEntry>): void {
  const of = (name: string) => found.get(hex(name));
  expect(of("put")?.value).toEqual(value("replaced"));
  expect(of("put-empty")?.value).toEqual(Buffer.alloc(0));
  expect(of("put-if-absent")?.value).toEqual(value("absent"));
  expect(of("lifespan")?.value).toEqual(value("cas"));
  expect(of("idle")).toMatchObject({ value: value("idle"), lifespanS: -1, maxIdleS: 40 });
  expect(of("both")).toMatchObject({ value: value("both"), maxIdleS: 600 });
  expect(of("immortal again")).toMatchObject({ value: value("1"), lifespanS: -1 });
  expect(of("removed")).toBeUndefined();
  expect(of("removed by version")).toBeUndefined();
  for (let i = 0; i < 300; i++) expect(of(`all-${i}`)?.value).toEqual(value(`all-${i}`));
  expect(found.size).toBe(307);
}

describe("two sites on Infinispan", () => {
  for (const [here, there] of DIRECTIONS) {
    it(`show at ${there} what the Java client wrote at ${here}, with its expiry, and send no echo (I2, I4, I8)`, async () => {
      const cache = await sites().site(here).cache("sessions");
      const before = sent("sessions");
      const changes = await everyOperation(cache);
      expectEveryOperation(await sites().level("sessions"));
      const after = sent("sessions");
      // Writes that followed each other at once may have been sent as one, never as more.
      expect(after[here] - before[here]).toBeLessThanOrEqual(changes);
      expect(after[here] - before[here]).toBeGreaterThanOrEqual(changes - 3);
      expect(after[there] - before[there]).toBe(0);
    });

    it(`empty ${there} when the cache is cleared at ${here}, by one remove a key (I4)`, async () => {
      const before = sent("sessions");
      await (await sites().site(here).cache("sessions")).clear();
      expect((await sites().level("sessions")).size).toBe(0);
      const after = sent("sessions");
      expect(after[here] - before[here]).toBe(307);
      expect(after[there] - before[there]).toBe(0);
    });
  }

  it("let a short lifespan end at both sites within a second of each other, and publish no remove (I2)", async () => {
    const [nyc, lon] = await bothSides("work");
    await nyc.put(key("short"), value("short"), { lifespanMs: 2_000 });
    await until("it is at lon", () => lon.containsKey(key("short")));
    const before = sent("work");
    const gone = async (cache: JavaCache): Promise<number> => {
      await until("it is gone", async () => !(await cache.containsKey(key("short"))));
      return performance.now();
    };
    const [atNyc, atLon] = await Promise.all([gone(nyc), gone(lon)]);
    expect(Math.abs(atNyc - atLon)).toBeLessThan(1_000);
    await nyc.put(key("sentinel"), value("sentinel"));
    const found = await sites().level("work");
    expect([...found.keys()]).toEqual([hex("sentinel")]);
    expect(sent("work")).toEqual({ nyc: before.nyc + 1, lon: before.lon });
  });

  it("journal each conflict once at each site, and agree on the later writer (I2)", async () => {
    const [nyc, lon] = await bothSides("loginFailures");
    const journals = () => sites().all.map(({ site }) => site.journal.conflicts);
    const before = journals();
    sites().cut();
    // A version is dated by its capture: the later writer is later only once the earlier one was captured.
    for (let i = 0; i < 20; i++) await nyc.put(key(`contested-${i}`), value(`nyc ${i}`));
    await until("nyc logged its writes", async () => waiting(sites().site("nyc")) === 20);
    for (let i = 0; i < 20; i++) await lon.put(key(`contested-${i}`), value(`lon ${i}`));
    await until("lon logged its writes", async () => waiting(sites().site("lon")) === 20);
    sites().heal();
    const found = await sites().level("loginFailures");
    for (let i = 0; i < 20; i++) {
      expect(found.get(hex(`contested-${i}`))?.value).toEqual(value(`lon ${i}`));
    }
    expect(journals().map((count, i) => count - (before[i] ?? 0))).toEqual([20, 20]);
    expect(sites().site("nyc").site.journal.allConflicts().at(-1)?.[1]).toMatchObject({
      cache: "loginFailures",
      policy: "last-writer-wins",
      shows: "lon",
    });
  });

  it("send nothing for conditional operations that failed, or for removes of missing keys (I4)", async () => {
    const [nyc, lon] = await bothSides("actionTokens");
    await nyc.put(key("there"), value("there"));
    await sites().level("actionTokens");
    const before = sent("actionTokens");
    for (const cache of [nyc, lon]) {
      await cache.putIfAbsent(key("there"), value("never"));
      await cache.replace(key("missing"), value("never"));
      expect(await cache.replaceWithVersion(key("there"), value("never"), 7n)).toBe(false);
      expect(await cache.removeWithVersion(key("there"), 7n)).toBe(false);
      await cache.remove(key("missing"));
      await cache.remove(key("missing"));
    }
    await nyc.put(key("sentinel"), value("nyc"));
    await sites().level("actionTokens");
    await lon.put(key("sentinel"), value("lon"));
    const found = await sites().level("actionTokens");
    expect([...found.keys()].sort()).toEqual([hex("there"), hex("sentinel")].sort());
    expect(sent("actionTokens")).toEqual({ nyc: before.nyc + 1, lon: before.lon + 1 });
  });
});

describe("a site that cannot reach the other", () => {
  it("answers and shows every write at once, and the other has them all once it is reached, nothing left over (I1, I10)", async () => {
    const [nyc, lon] = await bothSides("loginFailures");
    await nyc.put(key("replaced apart"), value("old"));
    await nyc.put(key("removed apart"), value("old"));
    await sites().level("loginFailures");
    const before = await lon.entries();
    sites().cut();
    await nyc.put(key("put apart"), value("1"));
    await nyc.replace(key("replaced apart"), value("2"));
    await nyc.remove(key("removed apart"));
    await nyc.putAll([
      [key("all apart 1"), value("3")],
      [key("all apart 2"), value("4")],
    ]);
    expect(await nyc.get(key("put apart"))).toEqual(value("1"));
    expect(await nyc.get(key("replaced apart"))).toEqual(value("2"));
    expect(await nyc.get(key("removed apart"))).toBeUndefined();
    expect(await nyc.get(key("all apart 2"))).toEqual(value("4"));
    await until("nyc logged its writes", async () => waiting(sites().site("nyc")) === 5);
    expect([...(await lon.entries()).keys()].sort()).toEqual([...before.keys()].sort());
    sites().heal();
    const found = await sites().level("loginFailures");
    expect(found.get(hex("put apart"))?.value).toEqual(value("1"));
    expect(found.get(hex("replaced apart"))?.value).toEqual(value("2"));
    expect(found.has(hex("removed apart"))).toBe(false);
    expect(found.size).toBe(before.size - 1 + 3);
    sites().cut();
    await nyc.clear();
    expect(await nyc.size()).toBe(0);
    expect(await lon.size()).toBe(found.size);
    sites().heal();
    expect((await sites().level("loginFailures")).size).toBe(0);
    expect(waiting(sites().site("nyc"))).toBe(0);
  });
});

describe("a client's compare-and-set", () => {
  it("on a version that the other site's write has replaced fails, and nothing of it is sent (I4)", async () => {
    const [nyc, lon] = await bothSides("actionTokens");
    await nyc.put(key("balance"), value("100"));
    await sites().level("actionTokens");
    const read = await lon.getWithMetadata(key("balance"));
    await nyc.put(key("balance"), value("90"));
    await sites().level("actionTokens");
    const before = sent("actionTokens");
    const version = read?.version ?? 0n;
    expect(version).not.toBe(0n);
    expect(await lon.replaceWithVersion(key("balance"), value("80"), version)).toBe(false);
    expect(await lon.removeWithVersion(key("balance"), version)).toBe(false);
    const now = (await lon.getWithMetadata(key("balance")))?.version ?? 0n;
    expect(await lon.replaceWithVersion(key("balance"), value("80"), now)).toBe(true);
    const found = await sites().level("actionTokens");
    expect(found.get(hex("balance"))?.value).toEqual(value("80"));
    expect(sent("actionTokens")).toEqual({ nyc: before.nyc, lon: before.lon + 1 });
  });
});

describe("writes that are none of the Java client's own", () => {
  it("come over REST and show at the other site, deletes too (I2)", async () => {
    const [nyc] = await bothSides("work");
    const rest = (site: string, method: string, body?: string): Promise<Response> => {
      const address = sites().site(site).nodes[0]?.address ?? "";
      const headers = { "Content-Type": "text/plain", Accept: "text/plain" };
      const url = `http://${address}/rest/v2/caches/work/over-rest`;
      return fetch(url, { method, headers, ...(body !== undefined && { body }) });
    };
    expect((await rest("nyc", "POST", "created")).status).toBe(204);
    await sites().level("work");
    expect(await (await rest("lon", "GET")).text()).toBe("created");
    expect((await rest("lon", "PUT", "changed")).status).toBe(204);
    await sites().level("work");
    expect(await (await rest("nyc", "GET")).text()).toBe("changed");
    expect((await rest("nyc", "DELETE")).status).toBe(204);
    await nyc.put(key("after rest"), value("1"));
    await sites().level("work");
    expect((await rest("lon", "GET")).status).toBe(404);
  });
});

describe("local caches", () => {
  it("stay untouched by a batch that was forged into a peer's log, which is counted and said (I9)", async () => {
    const [nyc, lon] = await bothSides("realms");
    const name = key("realm");
    await nyc.put(name, value("nyc's own"));
    await lon.put(name, value("lon's own"));
    const site = sites().site("lon").site;
    const refused = () =>
      site.caches.get("realms")?.receivers.reduce((sum, r) => sum + r.stats.refused, 0) ?? 0;
    const before = refused();
    await forge(sites().site("nyc"), "realms", name, value("forged"));
    await until("the batch came and was refused", async () => refused() === before + 1);
    const said = sites()
      .site("lon")
      .logger.lines.filter(
        ({ fields }) => (fields as { code?: string }).code === ErrorCode.BatchRefused,
      );
    expect(said.at(-1)).toMatchObject({ level: "error", fields: { code: "IS3030" } });
    expect(said.at(-1)?.message).toContain("realms is local");
    expect(await lon.get(name)).toEqual(value("lon's own"));
    expect(await nyc.get(name)).toEqual(value("nyc's own"));
    expect(await lon.size()).toBe(1);
  });

  it("never come into a log (I9)", async () => {
    const seen = new Set<string>();
    const links = await Promise.all(sites().all.map(({ nats, name }) => linkTo(nats, name)));
    for (const { nc } of links)
      nc.subscribe("isthmus.log.>", { callback: (_, { subject }) => void seen.add(subject) });
    await Promise.all(links.map(({ nc }) => nc.flush()));
    for (const site of sites().all) {
      for (const name of LOCAL) await (await site.cache(name)).put(key("local"), value(site.name));
      await (await site.cache("work")).put(key(`end at ${site.name}`), value("end"));
    }
    await sites().level("work");
    const expected = DIRECTIONS.map(([site]) => logSubject(site, "work"));
    await until("the sentinels were seen", async () => expected.every((s) => seen.has(s)));
    expect([...seen].sort()).toEqual(expected.sort());
    await Promise.all(links.map((link) => link.close()));
    for (const { site } of sites().all) {
      const { log } = site.ports;
      for (const name of LOCAL.filter((each) => each !== "realms")) {
        expect(await log.last(logSubject(site.name, name))).toBeUndefined();
      }
      expect(decodeRecord((await log.last(logSubject(site.name, "work")))!.payload)).toMatchObject({
        kind: "batch",
        header: { origin: site.name, cache: "work" },
      });
    }
  });
});

describe("the recorded requests of a Keycloak", () => {
  it("sent to one site's Infinispan show byte for byte at the other, with their expiry (I2, I8)", async () => {
    const nyc = sites().site("nyc");
    for (const name of HANDLED) await (await nyc.cache(name)).clear();
    for (const name of HANDLED) expect((await sites().level(name)).size).toBe(0);
    await using client = await FrameClient.connect(nyc.nodes[0]?.port ?? 0);
    const ops = new Map<string, number>();
    for (const request of recordedWrites()) {
      const { cache } = request.header;
      const written = "key" in request ? request.key : Buffer.alloc(0);
      const at = await nyc.cache(cache);
      if (request.op === "remove" && !(await at.containsKey(written))) {
        // The put of this key was too long to be recorded in full.
        await at.put(written, value("stands in"));
        await sites().level(cache);
      }
      const present = await at.getWithMetadata(written);
      const isConditional = "entryVersion" in request;
      const sending = isConditional
        ? { ...request, entryVersion: present?.version ?? 0n }
        : request;
      const answer = (await client.ask(sending)).at(-1);
      ops.set(request.op, (ops.get(request.op) ?? 0) + 1);
      const found = await sites().level(cache);
      const shown = found.get(written.toString("hex"));
      expect(answer?.header.status, `${request.op} of ${cache}`).toBeLessThan(0x80);
      if (request.op === "remove" || request.op === "removeIfUnmodified") {
        expect(present, `${request.op} removes something`).toBeDefined();
        expect(shown).toBeUndefined();
      } else if ("value" in request) {
        expect(shown?.value).toEqual(request.value);
        await expectRecordedExpiry(await sites().site("lon").cache(cache), request);
      }
    }
    expect(Object.fromEntries(ops)).toEqual({
      put: 9,
      putIfAbsent: 3,
      replaceIfUnmodified: 2,
      remove: 1,
      removeIfUnmodified: 1,
    });
  });
});

/** Keycloak's writes in their order; each is encoded to the very bytes that were recorded. */
function recordedWrites(): HotRodRequest[] {
  const ops = ["put", "putIfAbsent", "replaceIfUnmodified", "remove", "removeIfUnmodified"];
  const writes: HotRodRequest[] = [];
  const decoder = requestDecoder();
  for (const { from, bytes } of keycloakFrames()) {
    if (from !== "client") continue;
    decoder.push(bytes, ({ message, raw }) => {
      if (!ops.includes(message.op)) return;
      const request = message as HotRodRequest;
      if (!HANDLED.includes(request.header.cache)) return;
      expect(encodeRequest(request).equals(raw)).toBe(true);
      writes.push(request);
    });
  }
  return writes;
}

async function expectRecordedExpiry(cache: JavaCache, request: HotRodRequest): Promise<void> {
  if (!("expiration" in request) || !("key" in request)) throw new Error("not a put");
  const found = await cache.getWithMetadata(request.key);
  const { version, flags } = request.header;
  const { lifespanMs } = resolveExpiration(request.expiration, version, flags, 0);
  if (found === undefined) throw new Error("the key is missing");
  expect(found.maxIdleS).toBe(-1);
  if (typeof lifespanMs === "string") expect(found.lifespanS).toBe(-1);
  else expect(Math.abs(expiry(found) - (Date.now() + lifespanMs))).toBeLessThan(5_000);
}

const bothSides = async (cache: string): Promise<[JavaCache, JavaCache]> =>
  Promise.all([sites().site("nyc").cache(cache), sites().site("lon").cache(cache)]);

/** Mutations of `loginFailures` that the site logged and its target did not confirm. */
function waiting(site: ReplicatedSite): number | undefined {
  const [unconfirmed] = site.handled("loginFailures").unconfirmed.values();
  return unconfirmed?.atRisk().mutations;
}

/** Publishes a batch into a site's log as if that site had. */
async function forge(
  site: ReplicatedSite,
  cache: string,
  name: Buffer,
  forged: Buffer,
): Promise<void> {
  const link = await linkTo(site.nats, site.name);
  const header = {
    origin: site.name,
    cache,
    epoch: 1,
    term: site.site.lease.term,
    incarnation: site.site.head.incarnation,
    counter: 1,
    policyHash: site.handled("work").agent?.policyHash ?? "",
    mode: "async",
    offsets: new Map(),
    mediaType: PROTOSTREAM,
    held: false,
  } as const;
  const mutation = {
    key: name.toString("latin1"),
    kind: "put",
    dot: makeDot(Date.now(), 0),
    context: new Map(),
    at: Date.now(),
    hash: valueHash(PROTOSTREAM, forged),
    expiresAt: 0,
    maxIdleMs: 0,
    value: forged,
  } as const;
  const log = new NatsSiteLog(link, TEST_LIMITS);
  const id = realRandom.bytes(8).toString("hex");
  await log.publish(logSubject(site.name, cache), encodeBatch(header, [mutation]), id, never);
  await link.close();
}
