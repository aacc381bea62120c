import { ErrorCode } from "../../topology/errors.ts";
import type { SiteName } from "../../topology/names.ts";
import type { CacheStatus, Problem, SiteStatus, TargetStatus } from "./site-status.ts";

/** What is wrong at a site: first the site itself, then its caches, then its peers. Pure. */
export function problemsOf(status: Omit<SiteStatus, "problems">): readonly Problem[] {
  return [
    ...siteProblems(status),
    ...status.caches.flatMap(cacheProblems),
    ...status.peers.flatMap((peer) => peerProblems(peer)),
  ];
}

type Found = readonly Problem[];

const problem = (what: string, about: Partial<Problem> = {}): Problem => ({
  cache: null,
  peer: null,
  code: null,
  ...about,
  what,
});

function siteProblems({
  state,
  natsConnected,
  leaseMsLeft,
  keycloak,
}: Omit<SiteStatus, "problems">): readonly Problem[] {
  const found: Problem[] = [];
  if (keycloak?.problem) found.push(problem(keycloak.problem, { code: keycloak.code }));
  if (state !== "active") found.push(problem(`the process is ${state}`));
  if (!natsConnected)
    found.push(problem("the site's NATS is not connected", { code: ErrorCode.NatsUnreachable }));
  if (state === "active" && leaseMsLeft !== null && leaseMsLeft <= 0)
    found.push(problem("the lease ran out and could not be renewed: nothing is written"));
  return found;
}

function cacheProblems(status: CacheStatus): Found {
  const { cache, state, why, code, gap, pausedSince, origins, resync } = status;
  const found: Problem[] = [];
  if (state === "off" || state === "never") return found;
  // A cache that waits for its scan after a start or a fault is not trusted until that ends.
  if (why !== null && state !== "unheld") found.push(problem(`${state}: ${why}`, { cache, code }));
  if (gap !== null) found.push(problem(`gap: ${gap.reason}`, { cache }));
  if (pausedSince !== null) found.push(problem(pausedText(pausedSince), { cache }));
  found.push(...status.targets.flatMap((target) => targetProblems(cache, target)));
  for (const origin of origins) {
    const { origin: peer, state: receiving, why: reason, gap: peerGap, refusedSince } = origin;
    if (refusedSince !== null) {
      const what = `${peer} was away for longer than limits.tombstones.maxAge: nothing of it is taken until it is re-seeded`;
      found.push(problem(what, { cache, peer, code: ErrorCode.ReseedNeeded }));
    } else if (receiving !== "receiving" && receiving !== "paused") {
      const because = reason === null ? "" : `: ${reason}`;
      found.push(problem(`from ${peer}: ${receiving}${because}`, { cache, peer }));
    }
    if (peerGap !== null)
      found.push(
        problem(`gap toward ${peer}: ${peerGap.reason}${repairText(resync, peer)}`, {
          cache,
          peer,
        }),
      );
  }
  return found;
}

function pausedText(since: number): string {
  const at = new Date(since).toISOString();
  return `paused by an operator since ${at}: nothing of other sites is applied until isthmus resume`;
}

function targetProblems(cache: string, target: TargetStatus): Found {
  const { target: peer, offline, why, atRisk, refusesThis } = target;
  const found: Problem[] = [];
  if (refusesThis) {
    const code = ErrorCode.ReseedNeeded;
    const text = `${peer} takes nothing of this site, which was away for longer than limits.tombstones.maxAge: re-seed it`;
    found.push(problem(text, { cache, peer, code }));
  }
  if (offline === null) return found;
  const risk = `${atRisk.isAtLeast ? "at least " : ""}${atRisk.mutations}`;
  const what = `${peer} is offline: ${why ?? offline.why}; ${risk} changes are at risk`;
  return [...found, problem(what, { cache, peer, code: ErrorCode.TargetOffline })];
}

function repairText(resync: CacheStatus["resync"], peer: SiteName): string {
  const running = resync?.running ?? null;
  if (running === null || running.peer !== peer) return "";
  return `; being repaired: ${running.compared} keys compared, ${running.differing} differed`;
}

function peerProblems({
  site: peer,
  state,
  heardMsAgo,
  clock,
}: SiteStatus["peers"][number]): Found {
  const found: Problem[] = [];
  if (state === "silent") {
    const since =
      heardMsAgo === null ? "since this process started" : `for ${Math.round(heardMsAgo / 1000)} s`;
    const code = ErrorCode.PeerUnreachable;
    found.push(problem(`no heartbeat of ${peer} ${since}`, { peer, code }));
  }
  if (clock?.alarm === true)
    found.push(problem(`the clock of ${peer} is ${clock.offsetMs} ms from this site's`, { peer }));
  return found;
}
