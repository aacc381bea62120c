import { TRIAL_REALM } from "../../../lab/trial-realm.ts";
import { becomes, eventually, same } from "../eventually.ts";
import type { KeycloakLab } from "../keycloak-lab.ts";
import type { KeycloakSite } from "../keycloak-site.ts";
import { codeIn } from "../login-flow.ts";
import { inRealm, person, userId } from "../people.ts";
import type { Row } from "../row.ts";

/** Failures of a user, as many as the scenario has. */
const FAILURES = 10;

const CACHE = "loginFailures";

/** Logins that fail, which are counted to shut out who guesses passwords. */
export const failureRows: readonly Row[] = [
  {
    name: "failed logins that come in turn to both sites are counted on, and cleared at both",
    scenarios: [15],
    async run(lab) {
      const [nyc, lon] = lab.sites;
      const count = await countOf(nyc, "carol");
      for (const [site, total] of [
        [nyc, 3],
        [lon, 6],
        [nyc, 9],
      ] as const) {
        await fail(site, "carol", 3);
        await counted(lab, count, total);
      }
      await lon.admin("DELETE", count.path);
      await counted(lab, count, 0);
    },
  },
  {
    name: "failed logins that come to both sites at the same time end in one count, no lower than any site's own",
    scenarios: [40],
    async run(lab) {
      const [nyc, lon] = lab.sites;
      const count = await countOf(nyc, "carol");
      // One after the other at a site: Keycloak turns away who tries twice at the same moment there, and counts it once.
      await Promise.all(lab.sites.map((site) => fail(site, "carol", FAILURES)));
      const total = await eventually("one count", async () => {
        const [atNyc, atLon] = [await failures(nyc, count), await failures(lon, count)];
        same("the counts of nyc and lon", atLon, atNyc);
        return atNyc;
      });
      same("as many as a site's own", total >= FAILURES, true);
      // It goes on from there.
      await fail(lon, "carol", 1);
      await counted(lab, count, total + 1);
      await nyc.admin("DELETE", count.path);
      await counted(lab, count, 0);
      return `${total} of ${2 * FAILURES}`;
    },
  },
  {
    name: "counts of two users are the same at both sites; one cleared leaves the other, and a user's count goes with the user",
    scenarios: [15],
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        for (const [here, there] of lab.ways) {
          const alice = await countOf(here, "alice", realm);
          const bob = await countOf(here, "bob", realm);
          await fail(here, "alice", FAILURES, realm);
          await fail(there, "bob", FAILURES, realm);
          for (const each of [alice, bob]) await counted(lab, each, FAILURES);
          await here.admin("DELETE", alice.path);
          await counted(lab, alice, 0);
          await counted(lab, bob, FAILURES);
          const user = await here.admin<object>("GET", `${realm}/users/${bob.id}`);
          await here.admin("DELETE", `${realm}/users/${bob.id}`);
          for (const site of lab.sites)
            await becomes(`bob's entries at ${site.name}`, () => entriesOf(site, bob.id), 0);
          const credentials = [{ type: "password", value: "bob" }];
          await here.admin("POST", `${realm}/users`, { ...user, id: undefined, credentials });
        }
      }),
  },
  {
    name: "all counts of a realm that are cleared at one site are cleared at the other",
    scenarios: [16, 41],
    waits: true,
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        for (const [here, there] of lab.ways) {
          const counts = [];
          for (const [site, username] of [
            [here, "alice"],
            [there, "bob"],
            [here, "carol"],
          ] as const) {
            await fail(site, username, 2, realm);
            counts.push(await countOf(here, username, realm));
          }
          for (const each of counts) await counted(lab, each, 2);
          await here.admin("DELETE", `${realm}/attack-detection/brute-force/users`);
          for (const each of counts) {
            await counted(lab, each, 0);
            for (const site of lab.sites)
              await becomes(`entries at ${site.name}`, () => entriesOf(site, each.id), 0);
          }
        }
      }),
  },
  {
    name: "a person who is shut out at one site, after too many failures there, is shut out at the other",
    scenarios: [],
    run: (lab) =>
      inRealm(lab, { failureFactor: 3, waitIncrementSeconds: 60 }, async (realm) => {
        for (const [[here, there], username] of [
          [lab.ways[0], "alice"],
          [lab.ways[1], "bob"],
        ] as const) {
          const count = await countOf(here, username, realm);
          await fail(here, username, 3, realm);
          await counted(lab, count, 3);
          const who = person({ realm, username });
          const page = await who.submit(there, await who.open(there));
          same("a code for the right password", codeIn(page), undefined);
        }
      }),
  },
];

/** Where a user's failures are counted. */
interface Count {
  readonly id: string;
  readonly username: string;
  readonly path: string;
}

/** See {@link Count}. */
export async function countOf(
  site: KeycloakSite,
  username: string,
  realm = TRIAL_REALM,
): Promise<Count> {
  const id = await userId(site, username, realm);
  return { id, username, path: `${realm}/attack-detection/brute-force/users/${id}` };
}

/** A user's failures, by what a site's administration shows. */
export async function failures(site: KeycloakSite, { path }: Count): Promise<number> {
  return (await site.admin<{ numFailures: number }>("GET", path)).numFailures;
}

/** Resolves once both sites count so many. */
export async function counted(lab: KeycloakLab, count: Count, total: number): Promise<void> {
  for (const site of lab.sites)
    await becomes(
      `failures of ${count.username} at ${site.name}`,
      () => failures(site, count),
      total,
    );
}

/** Sends wrong passwords, one after the other. */
export async function fail(
  site: KeycloakSite,
  username: string,
  times: number,
  realm = TRIAL_REALM,
): Promise<void> {
  const who = person({ username, realm });
  for (let i = 0; i < times; i++) {
    const page = await who.submit(site, await who.open(site), "wrong");
    same(`the status of a wrong password at ${site.name}`, page.status, 200);
  }
}

/** Entries of a user, whose keys are messages that name the user. */
const entriesOf = async (site: KeycloakSite, id: string): Promise<number> =>
  (await site.cache.keys(CACHE)).filter((key) => key.includes(id)).length;
