import { describe, expect, it } from "vitest";
import type { VersionView } from "../../../deploy/operator/journal-lists.ts";
import { versionsOf, waysOf } from "../../../deploy/operator/key-way.ts";
import type { LoggedVersion, SiteTrace, TraceOrigin } from "../../../deploy/operator/trace-key.ts";

const version = (author: string, dot: string, kind: "put" | "remove" = "put"): VersionView => ({
  author,
  dot,
  at: 1,
  kind,
  hash: "h",
  bytes: null,
  expiresAt: 0,
  maxIdleMs: 0,
});

const trace = (site: string, more: Partial<SiteTrace>): SiteTrace => ({
  site,
  at: 0,
  mode: "async",
  policy: "last-writer-wins",
  state: "live",
  gap: null,
  presence: null,
  held: null,
  seen: {},
  versions: [],
  shows: null,
  queued: 0,
  origins: [],
  deadLetters: [],
  conflict: null,
  logged: [],
  ...more,
});

const logged = (author: string, dot: string, more: Partial<LoggedVersion> = {}): LoggedVersion => ({
  author,
  dot,
  seq: 7,
  storedAt: 100,
  version: { ...version(author, dot), bytes: 12 },
  appliedBy: null,
  ...more,
});

const origin = (name: string, more: Partial<TraceOrigin> = {}): TraceOrigin => ({
  origin: name,
  isTarget: true,
  state: "receiving",
  why: null,
  position: 5,
  mirrorEnd: 9,
  ...more,
});

/** nyc wrote the key (dot 20); how lon stands to it. */
const atLon = (lon: Partial<SiteTrace>, nyc: Partial<SiteTrace> = {}) => {
  const own = { presence: "live", seen: { nyc: "20" }, versions: [version("nyc", "20")] } as const;
  const author = trace("nyc", { ...own, shows: "nyc", logged: [logged("nyc", "20")], ...nyc });
  const ways = waysOf([author, trace("lon", lon)]);
  const way = ways.find(({ author: by, dot }) => by === "nyc" && dot === "20");
  return way?.sites.find(({ site }) => site === "lon");
};

describe("the way of a version", () => {
  it("ends where the cache shows it, with the time that the site had applied it by", () => {
    const lon = {
      presence: "live" as const,
      seen: { nyc: "20" },
      versions: [version("nyc", "20")],
      shows: "nyc",
      logged: [logged("nyc", "20", { appliedBy: 150 })],
    };
    expect(atLon(lon)).toEqual({ site: "lon", is: "shows", why: null, appliedBy: 150 });
    const removed = { ...lon, presence: "tombstone" as const };
    expect(atLon({ ...removed, versions: [version("nyc", "20", "remove")] })).toMatchObject({
      is: "gone",
      why: "removed",
    });
    expect(atLon(removed)).toMatchObject({ is: "gone", why: "it ended by itself" });
    expect(atLon({ ...lon, presence: "absent" })).toMatchObject({ is: "no copy" });
    expect(atLon({ ...lon, shows: "(merged)", policy: { merge: "m" } })).toMatchObject({
      is: "merged",
      why: "merge m of 1 versions",
    });
  });

  it("ends where another one shows, with the rule, or superseded it", () => {
    const seen = { nyc: "20", lon: "30" };
    const both = [version("lon", "30"), version("nyc", "20")];
    const outvoted = { presence: "live" as const, seen, versions: both, shows: "lon" };
    expect(atLon(outvoted)).toMatchObject({ is: "outvoted", why: "last-writer-wins shows lon's" });
    const policy = { preferSite: ["sgp", "lon"] };
    expect(atLon({ ...outvoted, policy })?.why).toBe("prefer-site sgp lon shows lon's");
    expect(atLon({ ...outvoted, versions: [version("lon", "30")] })).toMatchObject({
      is: "superseded",
      why: "by lon's put",
    });
    expect(atLon({ seen: { nyc: "20" } })).toMatchObject({ is: "gone" });
  });

  it("stops where it waits: at its author, on the link, before the cache, or as a dead letter", () => {
    const origins = [origin("nyc")];
    expect(atLon({ origins })).toMatchObject({ is: "mirrored", why: "applied up to 5; receiving" });
    const blocked = [origin("nyc", { state: "blocked", why: "another policy" })];
    expect(atLon({ origins: blocked })?.why).toBe("applied up to 5; another policy");
    expect(atLon({ origins: [origin("nyc", { mirrorEnd: 6 })] })).toMatchObject({
      is: "not mirrored",
      why: "the mirror ends at 6; receiving",
    });
    expect(atLon({ origins }, { logged: [] })).toMatchObject({ is: "not logged" });
    const unsent = { id: "nyc:1", origin: null, dot: null, reason: "too large" };
    expect(atLon({ origins }, { logged: [], deadLetters: [unsent] })?.why).toBe(
      "dead letter nyc:1: too large",
    );
    const letter = { id: "lon:3", origin: "nyc", dot: "20", reason: "too large" };
    expect(atLon({ origins, deadLetters: [letter] })).toMatchObject({
      is: "dead letter",
      why: "lon:3: too large",
    });
  });

  it("does not lead to a site that the file keeps it from", () => {
    expect(atLon({ mode: "off" })).toMatchObject({ is: "not replicated", why: "mode off" });
    expect(atLon({ mode: "never" })?.why).toContain("never");
    expect(atLon({ origins: [origin("nyc", { isTarget: false })] })?.why).toContain("not sent");
  });

  it("is told of the newest version of each author, newest first, and not of a cache's floor", () => {
    const traces = [
      trace("nyc", {
        presence: "live",
        seen: { nyc: "20", lon: "9" },
        versions: [version("nyc", "20")],
      }),
      trace("lon", { presence: "live", seen: { lon: "100" }, versions: [version("lon", "100")] }),
      trace("sgp", { seen: { nyc: "500", sgp: "600" } }),
    ];
    expect(versionsOf(traces).map(({ author, dot }) => `${author}/${dot}`)).toEqual([
      "lon/100",
      "nyc/20",
      "lon/9",
    ]);
    expect(waysOf([trace("nyc", {})])).toEqual([]);
    // A dot that no log and no row has a version of came with the floor.
    expect(waysOf(traces).map(({ dot }) => dot)).toEqual(["100", "20"]);
    const letter = { id: "lon:3", origin: "nyc", dot: "20", reason: "r" };
    expect(versionsOf([trace("lon", { deadLetters: [letter] })])).toEqual([
      { author: "nyc", dot: "20" },
    ]);
  });

  it("takes the size and the place in the log from whoever has them", () => {
    const lost = [logged("nyc", "20", { seq: null, storedAt: null, version: null })];
    const nyc = trace("nyc", {
      presence: "live",
      seen: { nyc: "20" },
      versions: [version("nyc", "20")],
      shows: "nyc",
      logged: lost,
    });
    const [unlogged] = waysOf([nyc]);
    expect(unlogged).toMatchObject({ log: null, version: { bytes: null } });
    const [found] = waysOf([nyc, trace("lon", { logged: [logged("nyc", "20")] })]);
    expect(found).toMatchObject({ log: { seq: 7, storedAt: 100 }, version: { bytes: 12 } });
  });
});
