import type {
  CacheStatus,
  DataAtRisk,
  OriginStatus,
  SiteStatus,
  TargetStatus,
  UnreachableSite,
} from "./site-status.ts";
import { bytesText } from "./bytes-text.ts";
import { textLines } from "./text-table.ts";

/** Every site as text, a block each. */
export const renderSites = (sites: readonly (SiteStatus | UnreachableSite)[]): string =>
  sites.map(renderSite).join("\n");

function renderSite(site: SiteStatus | UnreachableSite): string {
  if (site.state === "unreachable") return `${site.site}  UNREACHABLE: ${site.reason}\n`;
  const lines = [headLine(site), ...site.peers.map(peerLine)];
  const [off, handled] = [site.caches.filter(isOff), site.caches.filter((c) => !isOff(c))];
  if (handled.length > 0) lines.push(...textLines([HEADER, ...handled.flatMap(cacheRows)]));
  if (off.length > 0) lines.push(`not replicated: ${off.map(offText).join(", ")}`);
  lines.push(problemsLine(site));
  for (const { code, cache, what } of site.problems)
    lines.push(
      `  ! ${cache === null ? "" : `${cache}: `}${what}${code === null ? "" : ` (${code})`}`,
    );
  const [head = "", ...rest] = lines;
  return `${head}\n${rest.map((line) => `  ${line}\n`).join("")}`;
}

function headLine({
  site,
  state,
  version,
  host,
  pid,
  term,
  natsConnected,
  log,
  at,
  startedAt,
}: SiteStatus): string {
  const parts = [
    `${site}  ${state.toUpperCase()}`,
    `${host} pid ${pid}, up ${duration(at - startedAt)}`,
    `version ${version}`,
    ...(term === null ? [] : [`term ${term}`]),
    natsConnected ? "NATS connected" : "NATS NOT CONNECTED",
    ...(log === null ? [] : [`log ${log.firstSeq ?? "?"}..${log.lastSeq}`]),
  ];
  return parts.join("  ");
}

function peerLine({ site, state, heardMsAgo, clock }: SiteStatus["peers"][number]): string {
  const heard = heardMsAgo === null ? "never heard" : `heard ${duration(heardMsAgo)} ago`;
  const offset =
    clock === null
      ? "clock not measured"
      : `clock ${clock.offsetMs >= 0 ? "+" : ""}${clock.offsetMs} ms (±${clock.errorMs})${clock.alarm ? " ALARM" : ""}`;
  return `peer ${site}: ${state === "up" ? "up" : "SILENT"}, ${heard}, ${offset}`;
}

function problemsLine({ problems, conflicts, deadLetters }: SiteStatus): string {
  const found = problems.length === 0 ? "no problems" : `${problems.length} problem(s)`;
  return `${found}; ${conflicts} conflicts and ${deadLetters} dead letters since the start`;
}

const HEADER = ["CACHE", "MODE", "STATE", "QUEUED", "SITE", "TO IT", "AT RISK", "FROM IT", "LAG"];

/** A line for each other site; what is the cache's own stands in the first. */
function cacheRows(cache: CacheStatus): readonly (readonly string[])[] {
  const { targets, origins, dirty, outbox } = cache;
  const names = new Set([...targets.map((t) => t.target), ...origins.map((o) => o.origin)]);
  const own = [cache.cache, cache.mode, stateText(cache), String(dirty + outbox.rows)];
  const rows = [...names].map((name, i) => [
    ...(i === 0 ? own : ["", "", "", ""]),
    name,
    ...targetCells(targets.find(({ target }) => target === name)),
    ...originCells(origins.find(({ origin }) => origin === name)),
  ]);
  return rows.length === 0 ? [own] : rows;
}

const stateText = ({ state, gap, pausedSince }: CacheStatus): string =>
  `${state === "blocked" ? "BLOCKED" : state}${gap === null ? "" : ", GAP"}${pausedSince === null ? "" : ", PAUSED"}`;

function targetCells(target: TargetStatus | undefined): readonly string[] {
  if (target === undefined) return ["-", "-"];
  const { state } = target;
  return [state === "offline" ? "OFFLINE" : state, riskText(target.atRisk)];
}

function riskText({ mutations, bytes, ageMs, isAtLeast }: DataAtRisk): string {
  const few = isAtLeast ? "at least " : "";
  if (mutations === 0) return `${few}0`;
  return `${few}${mutations} (${bytesText(bytes)}, ${duration(ageMs)})`;
}

function originCells(origin: OriginStatus | undefined): readonly string[] {
  if (origin === undefined) return ["-", "-"];
  const { state, gap, deadLetters, lagMs } = origin;
  const dead = deadLetters === 0 ? "" : `, ${deadLetters} dead letters`;
  return [
    `${state}${gap === null ? "" : ", GAP"}${dead}`,
    lagMs === null ? "-" : `${duration(lagMs.last)} (mean ${duration(lagMs.mean)})`,
  ];
}

const isOff = ({ state }: CacheStatus): boolean => state === "off" || state === "never";

const offText = ({ cache, state }: CacheStatus): string => `${cache} (${state})`;

/** `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`: whole units, the largest that gives at least 1, or 120 s. */
export function duration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  const s = ms / 1_000;
  if (s < 120) return `${Math.floor(s)} s`;
  if (s < 7_200) return `${Math.floor(s / 60)} min`;
  if (s < 172_800) return `${Math.floor(s / 3_600)} h`;
  return `${Math.floor(s / 86_400)} d`;
}
