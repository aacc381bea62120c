import { becomes, eventually, same } from "../eventually.ts";
import type { KeycloakLab } from "../keycloak-lab.ts";
import type { KeycloakSite, Tokens } from "../keycloak-site.ts";
import { codeIn, codeOf, tokensOf } from "../login-flow.ts";
import type { LoginFlow } from "../login-flow.ts";
import { inRealm, isKept, person, sessionOf, sessionsOf } from "../people.ts";
import type { Row } from "../row.ts";

/** Sessions that are counted: as many as the scenario has. */
const COUNTED = 20;

/** Ending sessions: by programs, people and administrators. */
export const logoutRows: readonly Row[] = [
  {
    name: "a logout at one site is one at the other: no refresh, and the login form again",
    scenarios: [2],
    async run(lab) {
      for (const [here, there] of lab.ways) {
        const alice = person();
        const tokens = await alice.enter(here);
        tokensOf(await alice.refresh(there, tokens));
        same("the logout's status", (await alice.logout(here, tokens)).status, 204);
        const late = await alice.refresh(there, tokens);
        same("a refresh after it", [late.status, late.json?.error], [400, "invalid_grant"]);
        const page = await alice.for("desk").open(there);
        same("a code without a password", codeIn(page), undefined);
        same(
          "the form's field",
          page.forms.some(({ names }) => names.includes("password")),
          true,
        );
        for (const site of lab.sites)
          same(`kept at ${site.name}`, await isKept(lab, site, sessionOf(tokens)), false);
      }
    },
  },
  {
    name: "a person who leaves by the browser at one site has left the other",
    scenarios: [],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const alice = person();
        const tokens = await alice.enter(there);
        codeOf(await alice.for("desk").open(here));
        const left = await alice.leave(here, tokens);
        same("where leaving leads", left.location?.host, "app.example");
        same("a code without a password", codeIn(await alice.for("wiki").open(there)), undefined);
        same("a refresh after it", (await alice.refresh(there, tokens)).status, 400);
      }
    },
  },
  {
    name: "one session that an administrator ends at one site is gone at the other, and then all of that user",
    scenarios: [33],
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        for (const [here, there] of lab.ways) {
          const people: [LoginFlow, Tokens][] = [];
          for (const site of [here, there, here]) {
            const alice = person({ realm });
            people.push([alice, await alice.enter(site)]);
          }
          const others = person({ realm, username: "bob" });
          const othersTokens = await others.enter(here);
          const [[first, ended]] = people as [[LoginFlow, Tokens]];
          await here.admin("DELETE", `${realm}/sessions/${sessionOf(ended)}`);
          await counted(lab, "alice", realm, 2);
          same("a refresh of the one", (await first.refresh(there, ended)).status, 400);
          const user = await there.admin<{ id: string }[]>("GET", `${realm}/users?username=alice`);
          await here.admin("POST", `${realm}/users/${user[0]?.id}/logout`);
          await counted(lab, "alice", realm, 0);
          for (const [alice, tokens] of people)
            same("a refresh of any", (await alice.refresh(there, tokens)).status, 400);
          tokensOf(await others.refresh(there, othersTokens));
        }
      }),
  },
  {
    name: "everybody of a realm who is logged out at one site is out at the other, and nobody else",
    scenarios: [29],
    waits: true,
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        const stranger = person();
        const strangers = await stranger.enter(lab.sites[1]);
        for (const [here, there] of lab.ways) {
          const people: [LoginFlow, Tokens][] = [];
          for (const username of ["alice", "bob", "carol"])
            for (const site of [here, there]) {
              const each = person({ realm, username });
              people.push([each, await each.enter(site)]);
            }
          await here.admin("POST", `${realm}/logout-all`);
          for (const username of ["alice", "bob", "carol"]) await counted(lab, username, realm, 0);
          for (const [each, tokens] of people)
            same("a refresh after it", (await each.refresh(there, tokens)).status, 400);
          tokensOf(await stranger.refresh(there, strangers));
        }
      }),
  },
  {
    name: "sessions are counted alike at both sites: none, twenty, none, and so again",
    scenarios: [35],
    waits: true,
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        const carol = person({ realm, username: "carol" });
        for (const [here] of lab.ways) {
          await counted(lab, "carol", realm, 0);
          for (let i = 0; i < COUNTED; i++)
            tokensOf(await carol.grant(lab.sites[i % 2 === 0 ? 0 : 1]));
          await counted(lab, "carol", realm, COUNTED);
          await here.admin("POST", `${realm}/logout-all`);
          await counted(lab, "carol", realm, 0);
        }
      }),
  },
  {
    name: "a realm that is removed at one site takes its sessions, offline sessions and open logins with it at both",
    scenarios: [28],
    waits: true,
    async run(lab) {
      // Keycloak leaves a realm's counts of failed logins to their lifespan, with one site too.
      const caches = lab.caches.filter((cache) => /sessions/i.test(cache));
      for (const [here, there] of lab.ways) {
        const before = await keysOf(lab, caches);
        const made = await inRealm(lab, {}, async (realm) => {
          for (const username of ["alice", "bob"])
            for (const site of [here, there]) {
              await person({ realm, username }).enter(site);
              await person({ realm, username, scope: "openid offline_access" }).enter(site);
              await person({ realm }).open(site);
            }
          const all = [...(await keysOf(lab, caches))].filter((key) => !before.has(key));
          await here.admin("DELETE", realm);
          return all;
        });
        same("something was made", made.length > caches.length, true);
        await eventually("nothing of the realm is left", async () => {
          const now = await keysOf(lab, caches);
          const left = made.filter((key) => now.has(key));
          if (left.length > 0) throw new Error(`left: ${left.join(", ")}`);
          return true;
        });
      }
    },
  },
  {
    name: "a session whose entry is missing at one site only is ended by a logout at the other",
    scenarios: [4, 5],
    waits: true,
    only: "infinispan",
    async run(lab) {
      for (const [here, there] of lab.ways) {
        const alice = person();
        const tokens = await alice.enter(here);
        await whilePaused(lab, there, async () => {
          await removed(lab, here, sessionOf(tokens));
          same(`kept at ${there.name}`, await isKept(lab, there, sessionOf(tokens)), true);
          tokensOf(await alice.refresh(there, tokens));
          await removed(lab, here, sessionOf(tokens));
          same("the logout's status", (await alice.logout(there, tokens)).status, 204);
        });
        await gone(lab, alice, tokens);
        // Where Keycloak finds no session it does not look for those of clients.
        for (const site of lab.sites) {
          const keys = await site.cache.keys("clientSessions");
          same(
            "client sessions",
            keys.filter((key) => key.includes(sessionOf(tokens))),
            [],
          );
        }
      }
    },
  },
  {
    name: "a logout at the very site that misses the session's entry succeeds, and ends it at the other",
    scenarios: [4, 5],
    only: "infinispan",
    async run(lab) {
      for (const [here, there] of lab.ways) {
        const alice = person();
        const tokens = await alice.enter(here);
        await whilePaused(lab, there, async () => {
          await removed(lab, here, sessionOf(tokens));
          same(`kept at ${there.name}`, await isKept(lab, there, sessionOf(tokens)), true);
          same("the logout's status", (await alice.logout(here, tokens)).status, 204);
        });
        await gone(lab, alice, tokens);
      }
    },
  },
  {
    name: "a logout of a session whose entry is missing at both sites succeeds",
    scenarios: [6],
    only: "infinispan",
    async run(lab) {
      for (const [here, there] of lab.ways) {
        const alice = person();
        const tokens = await alice.enter(here);
        await removed(lab, here, sessionOf(tokens));
        await becomes(`kept at ${there.name}`, () => isKept(lab, there, sessionOf(tokens)), false);
        same("the logout's status", (await alice.logout(there, tokens)).status, 204);
        await gone(lab, alice, tokens);
      }
    },
  },
];

async function counted(
  lab: KeycloakLab,
  username: string,
  realm: string,
  total: number,
): Promise<void> {
  for (const site of lab.sites)
    await becomes(
      `sessions of ${username} at ${site.name}`,
      async () => (await sessionsOf(site, username, realm)).length,
      total,
    );
}

/** Runs `work` while a site applies nothing that the other writes to `sessions`. */
async function whilePaused(
  lab: KeycloakLab,
  target: KeycloakSite,
  work: () => Promise<void>,
): Promise<void> {
  const which = ["--cache", "sessions", "--target", target.name];
  await lab.isthmus("pause", ...which);
  try {
    await work();
  } finally {
    await lab.isthmus("resume", ...which);
    await lab.level();
  }
}

/** Takes a session's entry out of a site's Infinispan itself. */
async function removed(lab: KeycloakLab, site: KeycloakSite, session: string): Promise<void> {
  if (!(await isKept(lab, site, session))) return;
  await site.cache.remove("sessions", session);
  same(`kept at ${site.name}`, await isKept(lab, site, session), false);
}

/** At both sites: no entry, and no refresh. */
async function gone(lab: KeycloakLab, flow: LoginFlow, tokens: Tokens): Promise<void> {
  for (const site of lab.sites) {
    await becomes(`kept at ${site.name}`, () => isKept(lab, site, sessionOf(tokens)), false);
    same(`a refresh at ${site.name}`, (await flow.refresh(site, tokens)).status, 400);
  }
}

/** Every key at any site, with its cache and site. */
async function keysOf(lab: KeycloakLab, caches: readonly string[]): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const site of lab.sites)
    for (const cache of caches)
      for (const key of await site.cache.keys(cache)) keys.add(`${cache} ${key} at ${site.name}`);
  return keys;
}
