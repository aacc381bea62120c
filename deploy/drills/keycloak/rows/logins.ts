import { randomInt } from "node:crypto";
import { TRIAL_CLIENTS, TRIAL_REALM } from "../../../lab/trial-realm.ts";
import { becomes, same } from "../eventually.ts";
import type { KeycloakSite } from "../keycloak-site.ts";
import { codeOf, tokensOf } from "../login-flow.ts";
import { inRealm, person, sessionOf, sessionsOf } from "../people.ts";
import type { Row } from "../row.ts";

/** How often each way of a login is gone, each way. */
const TIMES = 5;
/** Whole logins with each request at a site drawn by lot. */
const LOGINS = 30;
/** People who log in at the same moment, and rounds of three clients at once. */
const CROWD = 24;
const ROUNDS = 20;
/** Tabs of one browser that are opened in turn, and at once. */
const TABS_IN_TURN = 10;
const TABS_AT_ONCE = 20;

const WRONG = "Invalid username or password";

/** A site drawn by lot, as a balancer without stickiness may choose it. */
export const drawn = (sites: readonly [KeycloakSite, KeycloakSite]): KeycloakSite =>
  sites[randomInt(2) === 0 ? 0 : 1];

/** Logging in: forms, codes, single sign-on, tabs. */
export const loginRows: readonly Row[] = [
  {
    name: "a login form that was shown at one site is taken at the other",
    scenarios: [46],
    async run({ ways }) {
      for (const [here, there] of ways)
        for (let i = 0; i < TIMES; i++) {
          const alice = person();
          const page = await alice.open(here);
          same("the form's status", page.status, 200);
          const answer = await alice.submit(there, page);
          same(`the status of the password's answer at ${there.name}`, answer.status, 302);
          const tokens = tokensOf(await alice.exchange(there, codeOf(answer)));
          const info = await there.userInfo(TRIAL_REALM, tokens.access_token ?? "");
          same("the token's status", info.status, 200);
        }
      return `${TIMES} logins each way`;
    },
  },
  {
    name: "a code that was given at one site is traded for tokens at the other, and no second time at either",
    scenarios: [2, 47],
    async run({ ways }) {
      for (const [here, there] of ways)
        for (let i = 0; i < TIMES; i++) {
          const alice = person();
          const code = codeOf(await alice.submit(here, await alice.open(here)));
          tokensOf(await alice.exchange(there, code));
          for (const site of [here, there]) {
            const again = await alice.exchange(site, code);
            same(
              `a second use at ${site.name}`,
              [again.status, again.json?.error],
              [400, "invalid_grant"],
            );
          }
        }
      return `${TIMES} codes each way`;
    },
  },
  {
    name: "a person who is logged in at one site needs no password at the other, and has the same session there",
    scenarios: [],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const alice = person();
        const first = await alice.enter(here);
        const desk = alice.for("desk");
        const second = tokensOf(await desk.exchange(there, codeOf(await desk.open(there))));
        same("the session", sessionOf(second), sessionOf(first));
      }
    },
  },
  {
    name: "whole logins and logouts end as they should, whichever site each request comes to",
    scenarios: [26],
    async run({ sites }) {
      for (let i = 0; i < LOGINS; i++) {
        const at = Array.from({ length: 6 }, () => drawn(sites));
        const [form, password, code, refresh, logout, late] = at as [
          KeycloakSite,
          KeycloakSite,
          KeycloakSite,
          KeycloakSite,
          KeycloakSite,
          KeycloakSite,
        ];
        try {
          const alice = person();
          const page = await alice.submit(password, await alice.open(form));
          const tokens = tokensOf(await alice.exchange(code, codeOf(page)));
          const fresh = tokensOf(await alice.refresh(refresh, tokens));
          same("the logout's status", (await alice.logout(logout, fresh)).status, 204);
          same("a refresh after it", (await alice.refresh(late, fresh)).status, 400);
        } catch (cause) {
          const where = at.map(({ name }) => name).join(", ");
          throw new Error(`login ${i} (${where}): ${(cause as Error).message}`, { cause });
        }
      }
      return `${LOGINS} logins`;
    },
  },
  {
    name: "people who log in at both sites at the same moment all get in, with a session each",
    scenarios: [18],
    waits: true,
    run: (lab) =>
      // With failed logins counted, Keycloak lets nobody in twice at the same moment.
      inRealm(lab, { bruteForceProtected: false }, async (realm) => {
        const [nyc, lon] = lab.sites;
        const entered = await Promise.all(
          Array.from({ length: CROWD }, async (_, i) => {
            const [here, there] = i % 2 === 0 ? [nyc, lon] : [lon, nyc];
            const alice = person({ realm });
            const page = await alice.submit(there, await alice.open(here));
            return sessionOf(tokensOf(await alice.exchange(here, codeOf(page))));
          }),
        );
        same("the sessions", new Set(entered).size, CROWD);
        for (const site of lab.sites)
          await becomes(
            `sessions at ${site.name}`,
            async () => (await sessionsOf(site, "alice", realm)).map(({ id }) => id).sort(),
            entered.sort(),
          );
        return `${CROWD} people`;
      }),
  },
  {
    name: "three clients that join one person's session at the same moment, at sites drawn by lot, share it",
    scenarios: [9],
    waits: true,
    async run({ sites }) {
      for (let i = 0; i < ROUNDS; i++) {
        const alice = person();
        const page = await alice.submit(drawn(sites), await alice.open(drawn(sites)));
        const code = codeOf(page);
        const session = page.location?.searchParams.get("session_state");
        const joined = await Promise.all(
          TRIAL_CLIENTS.map(async (client) => {
            const tab = alice.for(client);
            const answer = codeOf(await tab.open(drawn(sites)));
            return sessionOf(tokensOf(await tab.exchange(drawn(sites), answer)));
          }),
        );
        same(
          `the sessions of round ${i}`,
          joined,
          TRIAL_CLIENTS.map(() => session ?? ""),
        );
        tokensOf(await alice.exchange(drawn(sites), code));
      }
      return `${ROUNDS} rounds`;
    },
  },
  {
    name: "each tab that was opened in turn at both sites is good at the other one, and all are one login",
    scenarios: [44],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const alice = person();
        const tabs = [];
        for (let i = 0; i < TABS_IN_TURN; i++)
          tabs.push(await alice.open(i % 2 === 0 ? here : there));
        for (const [i, tab] of tabs.entries()) {
          const page = await alice.submit(i % 2 === 0 ? there : here, tab, "wrong");
          same(`tab ${i} says so`, page.text.includes(WRONG), true);
        }
        codeOf(await alice.submit(there, await alice.open(here)));
        codeOf(await alice.open(here));
      }
      return `${TABS_IN_TURN} tabs each way`;
    },
  },
  {
    name: "tabs that were opened at both sites at the same moment are each good",
    scenarios: [44],
    async run({ sites: [nyc, lon] }) {
      const alice = person();
      await alice.open(nyc);
      const tabs = await Promise.all(
        Array.from({ length: TABS_AT_ONCE }, (_, i) => alice.open(i % 2 === 0 ? nyc : lon)),
      );
      const refused: string[] = [];
      for (const [i, tab] of tabs.entries()) {
        const page = await alice.submit(i % 2 === 0 ? lon : nyc, tab, "wrong");
        if (!page.text.includes(WRONG)) refused.push(`tab ${i}: ${page.status} ${page.text}`);
      }
      same("the tabs that were refused", refused, []);
      return `${TABS_AT_ONCE} tabs`;
    },
  },
];
