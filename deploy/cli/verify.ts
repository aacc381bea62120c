import type { Difference } from "../operator/difference.ts";
import type { KeyView } from "../operator/key-view.ts";
import { type Verification, Verify } from "../operator/verify-sites.ts";
import { systemClock } from "../site/system.ts";
import { keyName, optionText, withSites } from "./ask-sites.ts";
import { Progress } from "./progress.ts";
import { Exit } from "./verb.ts";
import type { Verb, VerbContext } from "./verb.ts";

/** Keys that are told on a terminal; `--json` tells all. */
const TOLD_MAX = 100;

/** `isthmus verify`: whether the sites' caches really hold the same. */
export const verify: Verb = {
  name: "verify",
  summary: "compares what the caches of all sites really hold; exit 1 if a key differs",
  json:
    '{"caches": [{cache, entries: {SITE: n}, differing: [{cache, key, cause, sites: [{site, content, presence, versions, seen, ' +
    'isAsSaid}]}], busy, isCut}], "leftOut": [{cache, why}]}',
  options: { cache: { value: "NAME", summary: "only this cache, by its name in the file" } },
  run: (context: VerbContext): Promise<Exit> =>
    withSites(context, async (config, bus) => {
      const progress = new Progress(context, () => systemClock.monotonic());
      const show = (line: string): void => progress.show(line);
      let found: Verification;
      try {
        const asker = { bus, clock: systemClock };
        found = await new Verify(config, asker, show).run(optionText(context, "cache"));
      } finally {
        progress.end();
      }
      const text = context.json ? `${JSON.stringify(found, null, 2)}\n` : verificationText(found);
      context.stdout.write(text);
      const isFine = found.caches.every(({ differing, isCut }) => differing.length === 0 && !isCut);
      return isFine ? Exit.Fine : Exit.No;
    }),
};

/** What was found, for people. */
export function verificationText({ caches, leftOut }: Verification): string {
  const lines: string[] = [];
  for (const { cache, entries, differing, busy, isCut } of caches) {
    const counts = Object.entries(entries).map(([site, n]) => `${site} ${n}`);
    const inFlight = busy === 0 ? "" : `, ${busy} in flight`;
    const cut = isCut ? "; more differ than were looked at" : "";
    lines.push(
      `${cache}: ${differing.length} keys differ${inFlight} (entries: ${counts.join(", ")})${cut}`,
    );
    for (const difference of differing.slice(0, TOLD_MAX))
      lines.push(...differenceLines(difference));
    const more = differing.length - TOLD_MAX;
    if (more > 0) lines.push(`  and ${more} more; --json tells all`);
  }
  for (const { cache, why } of leftOut) lines.push(`${cache}: not compared: ${why}`);
  if (caches.length === 0 && leftOut.length === 0) lines.push("no cache is replicated");
  return lines.map((line) => `${line}\n`).join("");
}

const differenceLines = ({ key, cause, sites }: Difference): string[] => [
  `  ${keyName(key)}: ${cause}`,
  ...sites.map((view) => `    ${view.site}: ${contentText(view)}; ${versionsText(view)}`),
];

function contentText({ content }: KeyView): string {
  if (content === null) return "no entry";
  const { bytes, hash, expiresAt, maxIdleMs } = content;
  const until = expiresAt === 0 ? "" : `, ends ${new Date(expiresAt).toISOString()}`;
  const idle = maxIdleMs === 0 ? "" : `, idle ${maxIdleMs / 1_000} s`;
  return `${bytes} bytes, hash ${hash.slice(0, 8)}${until}${idle}`;
}

function versionsText({ presence, versions }: KeyView): string {
  if (versions.length === 0) return `${presence}, no versions`;
  const told = versions.map(({ author, at, kind, hash }) => {
    const of = hash === "" ? "" : ` ${hash.slice(0, 8)}`;
    return `${author}'s ${kind}${of} of ${new Date(at).toISOString()}`;
  });
  return `${presence}: ${told.join(", ")}`;
}
