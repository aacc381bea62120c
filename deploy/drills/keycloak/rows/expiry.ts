import { setTimeout as sleep } from "node:timers/promises";
import { becomes, same } from "../eventually.ts";
import type { Tokens } from "../keycloak-site.ts";
import { codeIn, codeOf, tokensOf } from "../login-flow.ts";
import { inRealm, isKept, person, sessionOf } from "../people.ts";
import type { Row } from "../row.ts";

/** How long what is to expire is good for, s, and when it is over for sure, ms: times are whole seconds. */
const LIFESPAN_S = 5;
const OVER_MS = 6_500;

/** Sessions of which each is looked at. */
const SESSIONS = 6;

/** What is over by itself: at each site, by its own clock. */
export const expiryRows: readonly Row[] = [
  {
    name: "a session is over at both sites when its time is: until then it is refreshed at both, then it is gone at both",
    scenarios: [7, 30],
    waits: true,
    run: (lab) =>
      inRealm(lab, { ssoSessionMaxLifespan: LIFESPAN_S }, async (realm) => {
        const who = { realm, username: "alice" };
        const alice = person(who);
        const held: Tokens[] = [];
        for (let i = 0; i < SESSIONS; i++)
          held.push(tokensOf(await alice.grant(lab.sites[i % 2 === 0 ? 0 : 1])));
        for (const site of lab.sites)
          for (const tokens of held) {
            same(`kept at ${site.name}`, await isKept(lab, site, sessionOf(tokens), who), true);
            tokensOf(await alice.refresh(site, tokens));
          }
        await sleep(OVER_MS);
        for (const site of lab.sites)
          for (const tokens of held) {
            await becomes(
              `kept at ${site.name} after its time`,
              () => isKept(lab, site, sessionOf(tokens), who),
              false,
            );
            same("a refresh after its time", (await alice.refresh(site, tokens)).status, 400);
          }
        return `${SESSIONS} sessions of ${LIFESPAN_S} s`;
      }),
  },
  {
    name: "an offline session is over at both sites when its time is",
    scenarios: [31],
    waits: true,
    run: (lab) => {
      const settings = {
        offlineSessionMaxLifespanEnabled: true,
        offlineSessionMaxLifespan: LIFESPAN_S,
      };
      return inRealm(lab, settings, async (realm) => {
        const bob = person({ realm, username: "bob", scope: "openid offline_access" });
        const held = await Promise.all(lab.sites.map((site) => bob.grant(site)));
        for (const site of lab.sites)
          for (const tokens of held.map(tokensOf)) tokensOf(await bob.refresh(site, tokens));
        await sleep(OVER_MS);
        for (const site of lab.sites)
          for (const tokens of held.map(tokensOf))
            same("a refresh after its time", (await bob.refresh(site, tokens)).status, 400);
        for (const site of lab.sites)
          if (lab.sessions === "infinispan")
            for (const tokens of held.map(tokensOf))
              await becomes(
                `kept at ${site.name} after its time`,
                async () => (await site.cache.keys("offlineSessions")).includes(sessionOf(tokens)),
                false,
              );
      });
    },
  },
  {
    name: "a login that is left open for too long is forgotten at both sites, and has to begin again",
    scenarios: [36, 44],
    waits: true,
    run: (lab) => {
      const settings = {
        accessCodeLifespan: LIFESPAN_S,
        accessCodeLifespanUserAction: LIFESPAN_S,
        accessCodeLifespanLogin: LIFESPAN_S,
      };
      return inRealm(lab, settings, async (realm) => {
        const before = await Promise.all(
          lab.sites.map((site) => site.cache.keys("authenticationSessions")),
        );
        const opened = [];
        for (const [here, there] of lab.ways) {
          const alice = person({ realm });
          opened.push({ alice, there, page: await alice.open(here) });
        }
        const logins = async (i: number) => {
          const keys = await lab.sites[i]?.cache.keys("authenticationSessions");
          return (keys ?? []).filter((key) => before[i]?.includes(key) === false).length;
        };
        for (const [i, { name }] of lab.sites.entries())
          same(`logins at ${name}`, await logins(i), opened.length);
        await sleep(OVER_MS);
        for (const [i, { name }] of lab.sites.entries())
          await becomes(`logins at ${name} after their time`, () => logins(i), 0);
        for (const { alice, there, page } of opened) {
          const late = await alice.submit(there, page);
          same("a code after its time", codeIn(await alice.browser.follow(there, late)), undefined);
          codeOf(await alice.submit(there, await alice.open(there)));
        }
      });
    },
  },
  {
    name: "a code that is not traded in time is refused at both sites",
    scenarios: [42, 43],
    waits: true,
    run: (lab) =>
      inRealm(lab, { accessCodeLifespan: LIFESPAN_S }, async (realm) => {
        const codes = [];
        for (const [here, there] of lab.ways) {
          const alice = person({ realm });
          const code = codeOf(await alice.submit(here, await alice.open(here)));
          codes.push({ alice, code, sites: [there, here] });
        }
        await sleep(OVER_MS);
        for (const { alice, code, sites } of codes)
          for (const site of sites)
            same(`at ${site.name}`, (await alice.exchange(site, code)).status, 400);
      }),
  },
];
