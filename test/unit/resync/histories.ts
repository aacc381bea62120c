import { dropsInRound } from "../../../topology/version/tombstone.ts";
import { joinVersion, localWrite, type Arrival } from "../../../topology/version/join.ts";
import { seen } from "../../../topology/version/join.ts";
import type { Context, Dot } from "../../../topology/version/entry.ts";
import { seeded } from "../version/sites-model.ts";
import { LedgerSite } from "./ledger-sites.ts";

/** Sites after a random history: writes, deliveries, a round of dropped tombstones at some, then losses. */
export function history(seed: number, names: readonly string[], keys: number): LedgerSite[] {
  const below = seeded(seed);
  const sites = names.map((name) => new LedgerSite(name));
  const pending: Array<{ readonly to: LedgerSite; readonly key: string; arrival: Arrival }> = [];
  let clock: Dot = 0n;

  const write = (site: LedgerSite): void => {
    const key = `k${below(keys)}`;
    clock += 1n;
    const entry = site.rows.get(key);
    const kind = below(3) === 0 ? "remove" : "put";
    const hash = kind === "put" ? `h${clock}` : "";
    const expiry = { expiresAt: 0, maxIdleMs: 0 };
    const version = {
      site: site.name,
      dot: clock,
      at: Number(clock),
      kind,
      hash,
      ...expiry,
    } as const;
    const saw = seen(entry, site.floor);
    const written = localWrite(entry, site.floor, version);
    site.put(key, written);
    const [sibling] = written.siblings;
    if (sibling === undefined) return;
    const arrival = { ...sibling, context: saw };
    for (const to of sites) if (to !== site) pending.push({ to, key, arrival });
  };
  /** The next of one author for one target, in the order of its log. */
  const deliver = (isLost: boolean): void => {
    const chosen = pending[below(pending.length)];
    if (chosen === undefined) return;
    const { author } = chosen.arrival;
    const at = pending.findIndex((p) => p.to === chosen.to && p.arrival.author === author);
    const [next] = pending.splice(at, 1);
    if (next === undefined || isLost) return;
    const { versions } = joinVersion(next.to.rows.get(next.key), next.to.floor, next.arrival);
    if (versions !== undefined) next.to.put(next.key, versions);
  };

  for (let step = 0; step < 10 * keys; step++) {
    const site = sites[below(sites.length)];
    if (site !== undefined && below(2) === 0) write(site);
    else deliver(false);
  }
  if (below(2) === 0) {
    while (pending.length > 0) deliver(false);
    const ends: Context = new Map(names.map((name) => [name, clock]));
    for (const site of sites) if (below(3) > 0) drop(site, ends);
  }
  for (let step = 0; step < 5 * keys; step++) {
    const site = sites[below(sites.length)];
    const roll = below(10);
    if (site !== undefined && roll < 4) write(site);
    else deliver(roll < 6);
  }
  return sites;
}

function drop(site: LedgerSite, ends: Context): void {
  site.floor = ends;
  for (const [key, { siblings, presence }] of site.rows.rows) {
    const round = { level: ends, ends };
    if (presence === "tombstone" && dropsInRound(round, siblings, siblings[0], 0)) {
      site.rows.delete(key);
    }
  }
}
