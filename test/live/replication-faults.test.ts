// Goal: what is wrong at one place is said there by its code, holds up nothing else, and loses nothing.
// Method: two sites, lon with a real Infinispan that asks for a password, nyc with an embedded cache; one fault after another.
import { describe, expect, it } from "vitest";
import { NatsSiteLog } from "../../gateway/link/site-log.ts";
import { ErrorCode } from "../../topology/errors.ts";
import { logSubject } from "../../topology/names.ts";
import type { JavaCache } from "../support/java-client.ts";
import { linkTo, TEST_LIMITS, until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { realRandom } from "../support/real-time.ts";
import { shared } from "../support/server-provider.ts";

const VALUE_BYTES_MAX = 64 * 1024;
const never = new AbortController().signal;

const sites = shared(async () => {
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc" },
      {
        name: "lon",
        // Two more are in the file; one of them is made later.
        caches: { sessions: {}, objects: { mediaType: "application/x-java-object" }, other: {} },
        auth: {
          mechanisms: ["SCRAM-SHA-512"],
          users: { isthmus: "right", writer: "right", reader: "right", admin: "right" },
          roles: {
            permissions: {
              isthmus: ["READ", "WRITE", "BULK_READ", "LISTEN", "MONITOR"],
              writer: ["WRITE"],
              reader: ["READ"],
              admin: ["ALL"],
            },
            of: { isthmus: "isthmus", writer: "writer", reader: "reader", admin: "admin" },
          },
        },
      },
    ],
    policies: ["{ match: [sessions, objects, missing, late, other], mode: async }"],
    limits: "maxValueBytes: 64KiB",
  });
  const config = started.configure();
  started.site("nyc").start(config);
  return started;
});

/** As the fixture's other caches are made. */
const LATE =
  '<distributed-cache mode="SYNC"><encoding media-type="application/x-protostream"/>' +
  '<security><authorization enabled="true" roles="isthmus admin"/></security></distributed-cache>';

const key = (name: string): Buffer => Buffer.from(name);

/** Codes that a site's Isthmus said at error level since line `from`. */
const codes = (site: string, from = 0): Array<string | undefined> =>
  sites()
    .site(site)
    .logger.lines.slice(from)
    .filter(({ level }) => level === "error")
    .map(({ fields }) => (fields as { code?: string }).code);

async function isLive(site: string, cache: string): Promise<boolean> {
  return sites().site(site).site.caches.get(cache)?.agent?.state === "live";
}

/** A cache of lon as a user of its Infinispan sees it. */
async function as(username: string, cache = "other"): Promise<JavaCache> {
  const address = sites().site("lon").nodes[0]?.address ?? "";
  const login = { mechanism: "SCRAM-SHA-512", username, password: "right" } as const;
  return (await sites().java.connect(address, login)).cache(cache);
}

describe("clients with few rights", () => {
  it("may write only, or read only, at a site: what they write goes to the other, and they read what came from it", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    lon.env["PASSWORD"] = "right";
    lon.start(sites().configure());
    await until("both are live", async () =>
      (await Promise.all(["nyc", "lon"].map((site) => isLive(site, "other")))).every(Boolean),
    );
    const [atNyc, writer, reader] = [
      await nyc.cache("other"),
      await as("writer"),
      await as("reader"),
    ];
    await writer.put(key("blind"), key("written"));
    await expect(writer.get(key("blind"))).rejects.toThrow(/ISPN000287/);
    await until("it is at nyc", async () =>
      (await atNyc.get(key("blind")))?.equals(key("written")),
    );
    await atNyc.put(key("blind"), key("answered"));
    await until("it is at lon", async () =>
      (await reader.get(key("blind")))?.equals(key("answered")),
    );
    await expect(reader.put(key("blind"), key("never"))).rejects.toThrow(/ISPN000287/);
    await writer.remove(key("blind"));
    await until("it is removed at nyc", async () => !(await atNyc.containsKey(key("blind"))));
    await lon.stop();
  });
});

describe("a fault at one site", () => {
  it("of the password is said, tried again, and after the right one everything comes (I1, I7)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    await until("nyc is live", () => isLive("nyc", "sessions"));
    await (await nyc.cache("sessions")).put(key("early"), key("1"));
    lon.env["PASSWORD"] = "wrong";
    lon.start(sites().configure());
    await until("the refusal is said", async () =>
      codes("lon").includes(ErrorCode.CacheAuthFailed),
    );
    expect(lon.handled("sessions").agent?.state).toBe("blocked");
    await lon.stop();
    lon.env["PASSWORD"] = "right";
    lon.start(sites().configure());
    await until("lon is live", () => isLive("lon", "sessions"));
    const found = await sites().level("sessions");
    expect(found.size).toBe(1);
  });

  it("of a cache that is missing or stores objects blocks that cache alone, with its code (I7)", async () => {
    const lon = sites().site("lon");
    await until("both are blocked", async () =>
      ["missing", "objects"].every((name) => lon.handled(name).agent?.state === "blocked"),
    );
    const problem = (name: string) => lon.handled(name).agent?.problem as { code?: string };
    expect(problem("missing").code).toBe(ErrorCode.CacheMissing);
    expect(problem("objects").code).toBe(ErrorCode.CacheObjectStorage);
    const nyc = sites().site("nyc");
    for (const name of ["missing", "objects", "other"])
      await (await nyc.cache(name)).put(key("put at nyc"), key(name));
    expect((await sites().level("other")).size).toBe(1);
    const [receiver] = lon.handled("missing").receivers;
    expect(receiver?.applied().seq).toBe(0);
  });

  it("of a cache that is made at the target only later is over then: all that was written meanwhile comes (I1, I7)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    const [late, other] = [await nyc.cache("late"), await nyc.cache("other")];
    await until("it is blocked", async () => lon.handled("late").agent?.state === "blocked");
    expect(lon.handled("late").agent?.problem).toMatchObject({ code: ErrorCode.CacheMissing });
    expect(codes("lon")).toContain(ErrorCode.CacheMissing);
    for (let i = 0; i < 300; i++) await late.put(key(`late-${i}`), key(`first ${i}`));
    for (let i = 0; i < 200; i++) await late.put(key(`late-${i}`), key(`last ${i}`));
    for (let i = 0; i < 50; i++) await late.remove(key(`late-${i}`));
    await other.put(key("beside it"), key("goes on"));
    const otherAtLon = await lon.cache("other");
    await until("another cache goes on", () => otherAtLon.containsKey(key("beside it")));
    await until("nyc logged all of it", async () => nyc.handled("late").agent?.outboxRows === 0);
    expect(lon.handled("late").receivers[0]?.applied().seq).toBe(0);
    expect(nyc.handled("late").unconfirmed.get("lon")?.atRisk().mutations).toBeGreaterThan(300);
    // A restart while it is missing forgets nothing of it.
    await lon.stop();
    lon.start(sites().configure());
    await until("lon is live", () => isLive("lon", "other"));
    expect(lon.handled("late").agent?.state).toBe("blocked");
    await (await as("admin", "late")).create(LATE);
    await until("it is live", () => isLive("lon", "late"));
    const found = await sites().level("late");
    expect(found.size).toBe(250);
    const text = (i: number) => found.get(key(`late-${i}`).toString("hex"))?.value.toString();
    for (let i = 0; i < 300; i++) {
      expect(text(i)).toBe(i < 50 ? undefined : i < 200 ? `last ${i}` : `first ${i}`);
    }
    await (await lon.cache("late")).put(key("the other way"), key("1"));
    expect((await sites().level("late")).size).toBe(251);
    expect(lon.handled("late").agent?.problem).toBeUndefined();
  });

  it("of a value above the limit is a dead letter, and the values after it go on (I7)", async () => {
    const nyc = sites().site("nyc");
    const cache = await nyc.cache("other");
    const before = nyc.site.journal.deadLetters;
    await cache.put(key("huge"), Buffer.alloc(VALUE_BYTES_MAX + 1, 7));
    await cache.put(key("largest"), Buffer.alloc(VALUE_BYTES_MAX, 7));
    const lon = await sites().site("lon").cache("other");
    await until("the value at the limit came", () => lon.containsKey(key("largest")));
    expect(await lon.containsKey(key("huge"))).toBe(false);
    expect(nyc.site.journal.deadLetters).toBe(before + 1);
    expect(nyc.site.journal.allDeadLetters().at(-1)?.[1]).toMatchObject({
      cache: "other",
      key: "huge",
      reason: expect.stringContaining("maxValueBytes"),
    });
  });

  it("of a NATS server that is away under load loses no acknowledged write (I1, I10)", async () => {
    const nyc = sites().site("nyc");
    const cache = await nyc.cache("sessions");
    const put = (i: number) => cache.put(key(`load-${i}`), key(String(i)));
    for (let i = 0; i < 200; i++) await put(i);
    await nyc.nats.kill();
    for (let i = 200; i < 600; i++) await put(i);
    await nyc.nats.run();
    for (let i = 600; i < 800; i++) await put(i);
    const found = await sites().level("sessions", { timeoutMs: 60_000 });
    expect(found.size).toBe(801);
  });

  it("of an Infinispan that is away at the start is over once it is there (I1)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    await lon.stop();
    for (const node of lon.nodes) await node.kill();
    lon.start(sites().configure());
    const said = () => lon.handled("sessions").agent?.problem as { code?: string } | undefined;
    await until("it is said", async () => said()?.code === ErrorCode.CacheUnreachable);
    await (await nyc.cache("sessions")).put(key("meanwhile"), key("2"));
    for (const node of lon.nodes) await node.run();
    await until("lon is live", () => isLive("lon", "sessions"), 60_000);
    const found = await sites().level("sessions", { timeoutMs: 60_000 });
    expect(found.size).toBe(802);
  });

  it("of a record of another wire version stops that link alone, is said, and loses nothing (I7)", async () => {
    const [nyc, lon] = [sites().site("nyc"), sites().site("lon")];
    const from = lon.logger.lines.length;
    const link = await linkTo(nyc.nats, "nyc");
    const log = new NatsSiteLog(link, TEST_LIMITS);
    const id = realRandom.bytes(8).toString("hex");
    const record = Buffer.from([0x95, 99, 0, 0x90, 0x90, 0x90]);
    const { seq } = await log.publish(logSubject("nyc", "other"), record, id, never);
    await link.close();
    await until("it is said", async () =>
      codes("lon", from).includes(ErrorCode.WireVersionUnknown),
    );
    await (await nyc.cache("other")).put(key("behind it"), key("3"));
    await (await lon.cache("other")).put(key("the other way"), key("4"));
    const atNyc = await nyc.cache("other");
    await until("the other direction goes on", () => atNyc.containsKey(key("the other way")));
    const [inbound] = lon.site.inbounds;
    expect(inbound?.state).toBe("blocked");
    const [receiver] = lon.handled("other").receivers;
    expect(receiver?.applied().seq).toBeLessThan(seq);
    expect(await (await lon.cache("other")).containsKey(key("behind it"))).toBe(false);
  });
});
