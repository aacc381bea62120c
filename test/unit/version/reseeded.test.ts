import { describe, expect, it } from "vitest";
import type { Context, Sibling, Versions } from "../../../topology/version/entry.ts";
import { reseededEntry, voided } from "../../../topology/version/reseeded.ts";

const LON = { site: "lon", upTo: 100n };
const NONE: Context = new Map();
const version = (author: string, dot: bigint): Sibling => ({
  author,
  dot,
  at: Number(dot),
  kind: "put",
  hash: `${author}${dot}`,
  expiresAt: 0,
  maxIdleMs: 0,
  offsetMs: 0,
});
const entry = (seen: Record<string, bigint>, ...siblings: Sibling[]): Versions => ({
  context: new Map(Object.entries(seen)),
  siblings,
});
const told = (versions: Versions | undefined, floor: Record<string, bigint> = {}) => ({
  versions,
  floor: new Map(Object.entries(floor)),
});

describe("an entry of a site that is re-seeded", () => {
  it("is what the peer has, whatever the site had written or removed up to then", () => {
    const mine = entry({ lon: 90n, nyc: 5n }, version("lon", 90n));
    const theirs = entry({ nyc: 7n }, version("nyc", 7n));
    expect(reseededEntry(mine, NONE, told(theirs), LON)).toEqual(
      entry({ nyc: 7n, lon: 100n }, version("nyc", 7n)),
    );
  });

  it("shows nothing where the peer has no entry, and has seen no more than that and its own void changes", () => {
    const mine = entry({ lon: 90n, par: 50n }, version("lon", 90n), version("par", 50n));
    // What par wrote and the peer has not got yet may come back from par.
    expect(reseededEntry(mine, NONE, told(undefined, { nyc: 9n, par: 40n }), LON)).toEqual(
      entry({ nyc: 9n, par: 40n, lon: 100n }),
    );
    expect(reseededEntry(undefined, NONE, told(undefined, { nyc: 9n }), LON)).toBeUndefined();
  });

  it("is merged as ever where the site wrote the key after that", () => {
    const mine = entry({ lon: 101n, nyc: 7n }, version("lon", 101n));
    const theirs = entry({ nyc: 7n }, version("nyc", 7n));
    expect(reseededEntry(mine, NONE, told(theirs), LON)).toEqual(mine);
  });

  it("loses only what the peer has never seen", () => {
    const mine = entry({ lon: 90n, nyc: 5n }, version("lon", 90n), version("nyc", 5n));
    expect(voided(mine, told(undefined, { nyc: 9n }), LON)).toEqual([version("lon", 90n)]);
    expect(voided(mine, told(entry({ lon: 90n })), LON)).toEqual([]);
    const after = entry({ lon: 101n }, version("lon", 101n));
    expect(voided(after, told(undefined), LON)).toEqual([]);
  });
});
