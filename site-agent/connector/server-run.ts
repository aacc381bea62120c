import type { IsthmusError } from "../../topology/errors.ts";
import { Intelligence } from "../../topology/hotrod/opcodes.ts";
import { CACHE_RUN_TOLERANCE_MS } from "../../topology/limits.ts";
import type { Clock, ServerRuns } from "../../topology/ports.ts";
import type { HotRodConnection } from "./connection.ts";

/** The map key under which the cluster's topology stands in for servers that do not tell their start. */
const TOPOLOGY = "topology";

/**
 * What identifies each server's present run, by address: `boot ID` where the server has one; else `start MS ID`, when it
 * started the cache in ms since the epoch by our clock (STATS' `timeSinceStart`, there only when the cache keeps
 * statistics), and the topology's id, which tells when our clock was set meanwhile. When no server tells, the one pair `topology ID`: Infinispan hashes the random addresses that its nodes draw
 * at each start, so it also changes when a node joins or leaves. Servers that cannot be reached are left out.
 */
export async function serverRuns(
  servers: ReadonlyMap<string, HotRodConnection | IsthmusError>,
  cache: string,
  clock: Clock,
): Promise<ServerRuns> {
  const runs = new Map<string, string>();
  for (const [address, connection] of servers) {
    if (!("request" in connection)) continue;
    const stamp = await runOf(connection, cache, clock).catch(() => undefined);
    if (stamp !== undefined) runs.set(address, stamp);
  }
  if (runs.size > 0) return runs;
  for (const connection of servers.values()) {
    if (!("request" in connection)) continue;
    const id = await topologyId(connection, cache).catch(() => undefined);
    if (id !== undefined) return new Map([[TOPOLOGY, `topology ${id}`]]);
  }
  return runs;
}

/**
 * Whether two stamps of one server are of one run: starts are told in whole seconds, and so compared with a tolerance; and
 * however far they are apart, a topology's id never comes back in another run.
 */
export function sameRun(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined) return false;
  if (a === b) return true;
  const [kindA, startA, idA] = a.split(" ");
  const [kindB, startB, idB] = b.split(" ");
  if (kindA !== "start" || kindB !== "start") return false;
  if (idA !== undefined && idA === idB) return true;
  return Math.abs(Number(startA) - Number(startB)) <= CACHE_RUN_TOLERANCE_MS;
}

/**
 * Since when a cache has held what was put into it, for certain, ms since the epoch by our clock: one of its servers started
 * then and runs on. undefined: none tells its start.
 */
export function runningSince(runs: ServerRuns): number | undefined {
  const starts = [...runs.values()].flatMap((run) => {
    const [kind, start] = run.split(" ");
    return kind === "start" ? [Number(start)] : [];
  });
  return starts.length === 0 ? undefined : Math.min(...starts) + CACHE_RUN_TOLERANCE_MS;
}

async function runOf(
  connection: HotRodConnection,
  cache: string,
  clock: Clock,
): Promise<string | undefined> {
  const { stats } = await connection.request("stats", { cache }, {});
  const boot = stats.get("bootId");
  if (boot !== undefined) return `boot ${boot}`;
  const seconds = Number(stats.get("timeSinceStart") ?? -1);
  if (seconds < 0) return undefined;
  const id = await topologyId(connection, cache).catch(() => undefined);
  const start = `start ${Math.round(clock.now() - seconds * 1000)}`;
  return id === undefined ? start : `${start} ${id}`;
}

/** The id of the topology that a cache has at one server; undefined where it has none. */
export async function topologyId(
  connection: HotRodConnection,
  cache: string,
): Promise<number | undefined> {
  const scope = { cache, intelligence: Intelligence.TopologyAware };
  const { header } = await connection.request("ping", scope, {});
  return header.topology?.id;
}
