import { TRIAL_REALM } from "../../../lab/trial-realm.ts";
import { becomes, eventually, same } from "../eventually.ts";
import type { KeycloakLab } from "../keycloak-lab.ts";
import type { KeycloakSite, Tokens } from "../keycloak-site.ts";
import { codeOf, tokensOf } from "../login-flow.ts";
import type { LoginFlow } from "../login-flow.ts";
import { isKept, person, sessionOf } from "../people.ts";
import type { Row } from "../row.ts";
import { countOf, counted, fail, failures } from "./failures.ts";

/** Sessions that are there before something goes away. */
const SESSIONS = 20;
/** A balancer's check finds a site down by then, ms: Keycloak's client gives up on a cache after 20 s. */
const DOWN_MS_MAX = 45_000;

const COUNTED_RULE =
  "{ match: loginFailures, mode: async, conflict: { merge: keycloak/login-failure } }";
const OFF_RULE = '{ match: loginFailures, mode: "off" }';

/** A site's cache that goes away, and comes back empty. */
function cacheAway(): Row[] {
  const held: [LoginFlow, Tokens][] = [];
  let ended: [LoginFlow, Tokens] | undefined;
  return [
    {
      name: "a site whose cache is away is down for balancers, and the other takes its people over, with every session",
      scenarios: [11],
      harms: true,
      async run(lab) {
        const [nyc, lon] = lab.sites;
        held.push(...(await enteredAt(nyc, SESSIONS)));
        await lab.stop("infinispan", "nyc");
        await eventually(
          "/lb-check of nyc says that it is down",
          async () => (await nyc.lbCheck()) === 503,
          DOWN_MS_MAX,
        );
        same("/lb-check of lon", await lon.lbCheck(), 200);
        for (const [alice, tokens] of held) tokensOf(await alice.refresh(lon, tokens));
        ended = held.pop();
        if (ended === undefined) throw new Error("nobody logged in");
        const [alice, tokens] = ended;
        same("a logout's status", (await alice.logout(lon, tokens)).status, 204);
        same("a refresh after it", (await alice.refresh(lon, tokens)).status, 400);
        return `${SESSIONS} sessions`;
      },
    },
    {
      name: "a cache that comes back empty is filled from the other site: the same keys, every token is refreshed, who left stays out",
      scenarios: [37],
      harms: true,
      async run(lab) {
        if (ended === undefined) throw new Error("the row before did not come to its end");
        const [nyc] = lab.sites;
        await lab.start("infinispan", "nyc");
        await lab.used();
        const keys = await lab.sameKeys();
        for (const [alice, tokens] of held) tokensOf(await alice.refresh(nyc, tokens));
        const [alice, tokens] = ended;
        same("a refresh of who left", (await alice.refresh(nyc, tokens)).status, 400);
        same("the session of who left", await isKept(lab, nyc, sessionOf(tokens)), false);
        return `${keys} keys, ${held.length} tokens`;
      },
    },
  ];
}

/** Parts of a site that are away for a while, or switched off. */
export const partsAwayRows: readonly Row[] = [
  ...cacheAway(),
  {
    name: "a Keycloak that is started late knows everybody who logged in at the other site meanwhile",
    scenarios: [37],
    harms: true,
    async run(lab) {
      const [nyc, lon] = lab.sites;
      await lab.stop("keycloak", "lon");
      const held = await enteredAt(nyc, SESSIONS);
      await lab.start("keycloak", "lon");
      await lab.used();
      const keys = await lab.sameKeys();
      for (const [alice, tokens] of held) {
        tokensOf(await alice.refresh(lon, tokens));
        codeOf(await alice.for("desk").open(lon));
      }
      return `${keys} keys`;
    },
  },
  {
    name: "loginFailures switched off in the file are counted by each site alone, and on again by both",
    scenarios: [15],
    harms: true,
    async run(lab) {
      const [nyc, lon] = lab.sites;
      const count = await countOf(nyc, "carol");
      await lab.edit((file) => swapped(file, COUNTED_RULE, OFF_RULE));
      try {
        for (const site of lab.names)
          same(`its state at ${site}`, (await lab.states(site)).get("loginFailures"), "off");
        await fail(nyc, "carol", 3);
        await becomes("failures at nyc", () => failures(nyc, count), 3);
        // What was written later, to another cache, is at lon.
        const tokens = await person().enter(nyc);
        await eventually("a later session", () => isKept(lab, lon, sessionOf(tokens)));
        same("failures at lon", await failures(lon, count), 0);
      } finally {
        await lab.edit((file) => swapped(file, OFF_RULE, COUNTED_RULE));
      }
      await counted(lab, count, 3);
      await fail(lon, "carol", 3);
      await counted(lab, count, 6);
      await nyc.admin("DELETE", count.path);
      await counted(lab, count, 0);
    },
  },
  {
    name: "a change at one site is seen at the other after each site's Isthmus was started again",
    scenarios: [19],
    harms: true,
    async run({ ways }) {
      for (const [here, there] of ways) {
        const displayName = `Trial of ${here.name}, later`;
        const form = async () => (await person().open(there)).text;
        same("the new name before", (await form()).includes(displayName), false);
        await here.admin("PUT", TRIAL_REALM, { displayName });
        await becomes("the new name", async () => (await form()).includes(displayName), true);
      }
    },
  },
  {
    name: "offline tokens are good at both sites after Keycloak, Isthmus and the cache were stopped at both, and started",
    scenarios: [38],
    harms: true,
    // Else they are in Infinispan alone, whose caches are in memory.
    only: "database",
    async run(lab) {
      const held = await offlineTokens(lab);
      const kinds = ["keycloak", "isthmus", "infinispan"] as const;
      for (const kind of kinds) await Promise.all(lab.names.map((at) => lab.stop(kind, at)));
      for (const kind of kinds.toReversed()) for (const at of lab.names) await lab.start(kind, at);
      return refreshedEverywhere(lab, held);
    },
  },
  {
    name: "offline tokens are good at both sites after Keycloak, Isthmus and the cache were stopped and started, empty, at one after the other",
    scenarios: [38],
    harms: true,
    only: "infinispan",
    async run(lab) {
      const held = await offlineTokens(lab);
      const kinds = ["keycloak", "isthmus", "infinispan"] as const;
      for (const at of lab.names) {
        for (const kind of kinds) await lab.stop(kind, at);
        for (const kind of kinds.toReversed()) await lab.start(kind, at);
        await lab.used();
        await lab.sameKeys();
      }
      return refreshedEverywhere(lab, held);
    },
  },
];

/** People who log in one after the other. */
export async function enteredAt(site: KeycloakSite, times: number): Promise<[LoginFlow, Tokens][]> {
  const held: [LoginFlow, Tokens][] = [];
  for (let i = 0; i < times; i++) {
    const alice = person();
    held.push([alice, await alice.enter(site)]);
  }
  return held;
}

function swapped(file: string, rule: string, by: string): string {
  if (!file.includes(rule)) throw new Error(`the lab's file has no rule ${rule}`);
  return file.replace(rule, by);
}

/** Offline tokens of both sites, in turn. */
async function offlineTokens({ sites }: KeycloakLab): Promise<[LoginFlow, Tokens][]> {
  const held: [LoginFlow, Tokens][] = [];
  for (let i = 0; i < SESSIONS; i++) {
    const bob = person({ username: "bob", scope: "openid offline_access" });
    held.push([bob, tokensOf(await bob.grant(sites[i % 2 === 0 ? 0 : 1]))]);
  }
  return held;
}

/** Refreshes each at the site that did not give it, and then at the other. */
async function refreshedEverywhere(
  lab: KeycloakLab,
  held: readonly [LoginFlow, Tokens][],
): Promise<string> {
  await lab.used();
  const keys = await lab.sameKeys();
  for (const [i, [bob, tokens]] of held.entries()) {
    const [first, second] = lab.ways[i % 2 === 0 ? 0 : 1];
    const again = tokensOf(await bob.refresh(second, tokens));
    tokensOf(await bob.refresh(first, again));
  }
  return `${held.length} tokens, ${keys} keys`;
}
