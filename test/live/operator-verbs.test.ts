// Goal: an operator sees which writes lost a conflict, which mutations were set aside and which way a key went, at any site,
// puts back and retries them, and never sees a value. Method: two sites with a real Infinispan each; the commands are processes
// of their own, from the build.
import { describe, expect, it } from "vitest";
import type { ConflictView, DeadLetterView } from "../../deploy/operator/journal-lists.ts";
import type { VersionWay } from "../../deploy/operator/key-way.ts";
import { encodeBatch } from "../../topology/mutation/batch.ts";
import { logSubject } from "../../topology/names.ts";
import { isthmus } from "../support/isthmus-command.ts";
import { until } from "../support/linked-sites.ts";
import { ReplicatedSites } from "../support/replicated-sites.ts";
import { shared } from "../support/server-provider.ts";

const sites = shared(async () => {
  const caches = { sessions: {}, guarded: {}, "one-way": {} };
  const started = await ReplicatedSites.start({
    sites: [
      { name: "nyc", caches },
      { name: "lon", caches },
    ],
    policies: [
      "{ match: sessions, mode: async }",
      "{ match: guarded, mode: never }",
      "{ match: one-way, mode: async, to: [lon] }",
    ],
    limits: "maxValueBytes: 4KiB",
  });
  await started.run();
  return started;
});

const bytes = (text: string): Buffer => Buffer.from(text);
const cacheAt = (site: string, cache = "sessions") => sites().site(site).cache(cache);
/** No command may show this. */
const SECRET = "s3cret";

async function command(...args: string[]) {
  const done = await isthmus(args, sites().folder);
  expect(done.out + done.err).not.toContain(SECRET);
  return done;
}

async function asJson<T>(...args: string[]): Promise<T> {
  const { out, err } = await command(...args, "--json");
  try {
    return JSON.parse(out) as T;
  } catch (cause) {
    throw new Error(`no JSON: ${out}${err}`, { cause });
  }
}

const conflicts = async (...args: string[]): Promise<readonly ConflictView[]> =>
  (await asJson<{ conflicts: ConflictView[] }>("conflicts", ...args)).conflicts;
const deadLetters = async (): Promise<readonly DeadLetterView[]> =>
  (await asJson<{ deadLetters: DeadLetterView[] }>("dead-letters")).deadLetters;

/** Both sites write the key while the link is cut, lon later, so that lon's shows. */
async function contest(name: string): Promise<void> {
  sites().cut();
  const dotAt = (site: string) =>
    sites().site(site).handled("sessions").agent?.rows.get(name)?.context.get(site) ?? 0n;
  for (const site of ["nyc", "lon"]) {
    const before = dotAt(site);
    await (await cacheAt(site)).put(bytes(name), bytes(`${SECRET} of ${site}`));
    // A version is dated by its capture.
    await until(`${site} captured it`, async () => dotAt(site) > before);
  }
  sites().heal();
  await sites().level("sessions");
}

/** What both sites hold of a key. */
const shown = async (name: string): Promise<string | undefined> => {
  const found = await sites().level("sessions");
  return found.get(bytes(name).toString("hex"))?.value.toString();
};

describe("isthmus conflicts", () => {
  it("lists what lost at each site, and puts it back everywhere", async () => {
    await contest("cart/1");
    const rows = await conflicts("--cache", "sessions");
    expect(new Set(rows.map(({ id }) => id.split(":")[0]))).toEqual(new Set(["nyc", "lon"]));
    for (const row of rows)
      expect(row).toMatchObject({ key: "cart/1", shows: "lon", lost: ["nyc"], restored: null });
    const text = await command("conflicts", "--since", "1h");
    expect(text.code).toBe(0);
    expect(text.out).toMatch(
      /^nyc:1 .* sessions +cart\/1 +lon by last-writer-wins +nyc put of 13 B of /m,
    );
    expect(text.out).toContain("nyc keeps 1 of 10000 conflicts");
    expect(await conflicts("--cache", "one-way")).toEqual([]);

    // Through lon's NATS, at nyc.
    const restored = await command("conflicts", "restore", "nyc:1", "--site", "lon");
    expect([restored.code, restored.err]).toEqual([0, ""]);
    expect(restored.out).toMatch(
      /^restored nyc's put of 13 B .* as a new write of nyc with dot \d+/,
    );
    expect(await shown("cart/1")).toBe(`${SECRET} of nyc`);
    const [again] = (await conflicts()).filter(({ id }) => id === "nyc:1");
    expect(again?.restored).toMatchObject({ author: "nyc" });
    const twice = await command("conflicts", "restore", "nyc:1");
    expect([twice.code, twice.out]).toEqual([0, expect.stringContaining("nothing was done")]);
  });

  it("asks before it overwrites what was written since, also after a restart of both sites", async () => {
    await contest("cart/2");
    await (await cacheAt("lon")).put(bytes("cart/2"), bytes(`${SECRET} later`));
    await sites().level("sessions");
    await sites().stop();
    await sites().run();
    const row = (await conflicts()).find(({ key, id }) => key === "cart/2" && id.startsWith("lon"));
    const id = row?.id ?? "none";
    const asked = await command("conflicts", "restore", id);
    expect(asked.code).toBe(1);
    expect(asked.out).toMatch(/was written since that conflict: nothing was done\n {2}now: 12 B/);
    expect(asked.out).toContain("to do it: --confirm lon");
    expect(await shown("cart/2")).toBe(`${SECRET} later`);
    const wrong = await command("conflicts", "restore", id, "--confirm", "nyc");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("expected lon")]);
    const done = await asJson("conflicts", "restore", id, "--confirm", "lon");
    expect(done).toMatchObject({ id, outcome: "restored", version: { author: "nyc" } });
    expect(await shown("cart/2")).toBe(`${SECRET} of nyc`);
  });

  it("says so when there is no such conflict, site or time", async () => {
    const missing = await command("conflicts", "restore", "nyc:999");
    expect(missing.code).toBe(1);
    expect(missing.err).toContain("IS3070");
    for (const args of [
      ["restore", "sgp:1"],
      ["restore", "1"],
      ["drop", "nyc:1"],
      ["--since", "x"],
    ])
      expect((await command("conflicts", ...args)).code).toBe(2);
  });
});

describe("isthmus dead-letters", () => {
  it("lists a change that is too large, and sends it once it is small enough", async () => {
    const nyc = await cacheAt("nyc");
    await nyc.put(bytes("huge"), Buffer.alloc(5_000, SECRET));
    const letter = await until("it is set aside", async () =>
      (await deadLetters()).find(({ key }) => key === "huge"),
    );
    expect(letter).toMatchObject({ cache: "sessions", origin: null, seq: null });
    const refused = await command("dead-letters", "retry", letter.id);
    expect(refused.code).toBe(1);
    expect(refused.err).toContain("5000 bytes, more than limits.maxValueBytes (4096)");
    await nyc.put(bytes("huge"), bytes("small"));
    const retried = await command("dead-letters", "retry", letter.id);
    expect([retried.code, retried.out]).toEqual([
      0,
      expect.stringContaining("sessions huge: sent"),
    ]);
    expect(await shown("huge")).toBe("small");
    expect((await deadLetters()).filter(({ key }) => key === "huge")).toEqual([]);
  });

  it("lists a record that cannot be decoded, keeps it when it still cannot, and what came after goes on (I7)", async () => {
    const { site } = sites().site("nyc");
    const { signal } = new AbortController();
    await site.ports.log.publish(logSubject("nyc", "sessions"), bytes(SECRET), "garbage", signal);
    await (await cacheAt("nyc")).put(bytes("after"), bytes("came"));
    expect(await shown("after")).toBe("came");
    const [letter] = (await deadLetters()).filter(({ id }) => id.startsWith("lon"));
    expect(letter).toMatchObject({ key: null, origin: "nyc", bytes: SECRET.length });
    const text = await command("dead-letters");
    expect(text.out).toMatch(
      /^lon:\d+ .* \(a whole batch\) +nyc #\d+ +6 B +a log record is malformed/m,
    );
    const retried = await command("dead-letters", "retry", letter?.id ?? "");
    expect([retried.code, retried.err]).toEqual([1, expect.stringContaining("IS3021")]);
    expect(await deadLetters()).toContainEqual(letter);
  });

  it("applies one that works by now, by the rules for what arrives", async () => {
    const [nyc, lon] = [sites().site("nyc").site, sites().site("lon").site];
    await (await cacheAt("nyc")).put(bytes("late"), bytes("v"));
    await sites().level("sessions");
    const end = (await nyc.ports.log.state())?.lastSeq ?? 0;
    const [record] = await nyc.ports.log.window(logSubject("nyc", "sessions"), end - 1, end);
    if (record === undefined) throw new Error("no record");
    const { seq, payload } = record;
    lon.journal.addDeadLetter({
      origin: "nyc",
      cache: "sessions",
      seq,
      key: "late",
      dot: 1n,
      reason: "planted",
      payload,
    });
    const id = (await deadLetters()).find(({ reason }) => reason === "planted")?.id ?? "";
    const { code, out } = await command("dead-letters", "retry", id);
    expect([code, out]).toEqual([0, expect.stringContaining("sessions late: seen before")]);
    // Nor is a local cache touched by a letter (I9).
    const header = {
      origin: "nyc",
      cache: "guarded",
      epoch: 1,
      term: 1,
      incarnation: "i",
      counter: 1,
    };
    const more = {
      policyHash: "p",
      mode: "async",
      offsets: new Map(),
      mediaType: "m",
      held: false,
    };
    lon.journal.addDeadLetter({
      origin: "nyc",
      cache: "guarded",
      seq: 1,
      key: "k",
      dot: 1n,
      reason: "never",
      payload: encodeBatch({ ...header, ...more } as Parameters<typeof encodeBatch>[0], []),
    });
    const never = (await deadLetters()).find(({ reason }) => reason === "never")?.id ?? "";
    const refused = await command("dead-letters", "retry", never);
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("its mode is never")]);
  });
});

describe("isthmus trace", () => {
  const trace = async (cache: string, name: string): Promise<readonly VersionWay[]> =>
    (await asJson<{ versions: VersionWay[] }>("trace", cache, name)).versions;
  const at = (way: VersionWay | undefined, site: string) =>
    way?.sites.find((candidate) => candidate.site === site);

  it("follows a key from its writer's log to the other site's cache, with times", async () => {
    const begun = Date.now();
    await (await cacheAt("nyc")).put(bytes("way"), bytes(SECRET));
    await sites().level("sessions");
    const [way, ...others] = await trace("sessions", "way");
    expect(others).toEqual([]);
    expect(way).toMatchObject({ author: "nyc", version: { kind: "put", bytes: 6 } });
    for (const site of ["nyc", "lon"]) expect(at(way, site)).toMatchObject({ is: "shows" });
    for (const time of [way?.version?.at, way?.log?.storedAt, at(way, "lon")?.appliedBy]) {
      expect(time).toBeGreaterThanOrEqual(begun - 2);
      expect(time).toBeLessThanOrEqual(Date.now() + 1_000);
    }
    const { code, out } = await command("trace", "sessions", `hex:${bytes("way").toString("hex")}`);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^sessions way\n {2}nyc's put of 6 B \(dot \d+\), written .*, logged .* as #\d+/,
    );
    expect(out).toMatch(/^ +lon +shows, applied by \d{4}-/m);
  });

  it("tells superseded and outvoted versions from each other", async () => {
    await contest("voted");
    const [lons, nycs] = await trace("sessions", "voted");
    expect([lons?.author, nycs?.author]).toEqual(["lon", "nyc"]);
    for (const site of ["nyc", "lon"]) {
      expect(at(lons, site)).toMatchObject({ is: "shows", why: "last-writer-wins" });
      expect(at(nycs, site)).toMatchObject({ is: "outvoted", why: "last-writer-wins shows lon's" });
    }
    await (await cacheAt("lon")).remove(bytes("voted"));
    await sites().level("sessions");
    const [removed, superseded] = await trace("sessions", "voted");
    expect(at(removed, "nyc")).toMatchObject({ is: "gone", why: "removed" });
    expect(at(superseded, "nyc")).toMatchObject({ is: "superseded", why: "by lon's remove" });
  });

  it("says where a version waits while the link is cut, and who did not answer", async () => {
    sites().cut();
    await (await cacheAt("nyc")).put(bytes("cut"), bytes("v"));
    const [nyc, lon] = await Promise.all([
      until("nyc logged it", async () => {
        const done = await command("trace", "sessions", "cut", "--site", "nyc");
        return done.out.includes("logged") && done;
      }),
      command("trace", "sessions", "cut", "--site", "lon"),
    ]);
    expect([nyc.code, lon.code]).toEqual([3, 3]);
    expect(nyc.err).toContain("lon did not answer: IS3009");
    expect(lon.out).toContain("no site that answered has a version of it");
    sites().heal();
    await sites().level("sessions");
    const [way] = await trace("sessions", "cut");
    expect(at(way, "lon")).toMatchObject({ is: "shows" });
  });

  it("says which sites the file keeps a cache from, and touches no local cache (I9)", async () => {
    await (await cacheAt("lon", "one-way")).put(bytes("k"), bytes("v"));
    const way = await until("lon logged it", async () => {
      const [first] = await trace("one-way", "k");
      return first?.log !== null && first;
    });
    expect(at(way, "lon")).toMatchObject({ is: "shows" });
    expect(at(way, "nyc")).toMatchObject({ is: "not replicated", why: "not sent from lon here" });
    await (await cacheAt("nyc", "guarded")).put(bytes("own"), bytes(SECRET));
    expect(await trace("guarded", "own")).toEqual([]);
    expect((await command("trace", "sessions")).code).toBe(2);
    expect((await command("trace", "sessions", "hex:0")).code).toBe(2);
  });
});
