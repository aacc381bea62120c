import { TRIAL_REALM } from "../../../lab/trial-realm.ts";
import { becomes, eventually, same } from "../eventually.ts";
import { tokensOf } from "../login-flow.ts";
import { isKept, person, sessionOf, sessionsOf } from "../people.ts";
import type { Row } from "../row.ts";

/** As often as the scenario has it. */
const REVOCATIONS = 20;
/** Refreshes of one session at the same moment, half of them at each site. */
const AT_ONCE = 20;
/** Times of sessions are whole seconds: this much later is another one, ms. */
const LATER_MS = 2_100;

/** What can be done with tokens. */
export const tokenRows: readonly Row[] = [
  {
    name: "tokens of one site are refreshed at the other, and back",
    scenarios: [],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const alice = person();
        let tokens = await alice.enter(here);
        for (const site of [there, here, there, there, here])
          tokens = tokensOf(await alice.refresh(site, tokens));
        const info = await here.userInfo(TRIAL_REALM, tokens.access_token ?? "");
        same("the token's status", info.status, 200);
      }
    },
  },
  {
    name: "tokens that are refreshed at both sites at the same moment are good at both",
    scenarios: [],
    async run({ sites }) {
      const [nyc, lon] = sites;
      const alice = person();
      const tokens = await alice.enter(nyc);
      const fresh = await Promise.all(
        Array.from({ length: AT_ONCE }, (_, i) => alice.refresh(i % 2 === 0 ? nyc : lon, tokens)),
      );
      for (const answer of fresh)
        same("the session", sessionOf(tokensOf(answer)), sessionOf(tokens));
      for (const site of sites) tokensOf(await alice.refresh(site, tokens));
      return `${AT_ONCE} refreshes`;
    },
  },
  {
    name: "a refresh at one site is the session's last use at the other too",
    scenarios: [25],
    waits: true,
    async run({ ways }) {
      for (const [here, there] of ways) {
        const carol = person({ username: "carol" });
        const tokens = await carol.enter(here);
        const lastUse = async () => {
          const sessions = await sessionsOf(there, "carol");
          return sessions.find(({ id }) => id === sessionOf(tokens))?.lastAccess;
        };
        const before = await eventually("the session", lastUse);
        await new Promise((resolve) => setTimeout(resolve, LATER_MS));
        tokensOf(await carol.refresh(here, tokens));
        await eventually("a later use", async () => ((await lastUse()) ?? 0) > before);
      }
    },
  },
  {
    name: "an access token of one site is known at the other, until the session ends at the first",
    scenarios: [],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const alice = person();
        const tokens = await alice.enter(here);
        const status = async () =>
          (await there.userInfo(TRIAL_REALM, tokens.access_token ?? "")).status;
        same("its status before", await status(), 200);
        same("the logout's status", (await alice.logout(here, tokens)).status, 204);
        same("its status after", await status(), 401);
      }
    },
  },
  {
    name: "a refresh token that is revoked at one site ends the session at both, at once",
    scenarios: [3],
    async run(lab) {
      const [nyc, lon] = lab.sites;
      for (let i = 0; i < REVOCATIONS; i++) {
        const [here, there] = i % 2 === 0 ? [nyc, lon] : [lon, nyc];
        const alice = person();
        const tokens = tokensOf(await alice.grant(here));
        const kept = () =>
          Promise.all(lab.sites.map((site) => isKept(lab, site, sessionOf(tokens))));
        same(`session ${i}, kept at nyc and lon`, await kept(), [true, true]);
        const revoked = await here.post(TRIAL_REALM, "revoke", {
          client_id: "shop",
          token: tokens.refresh_token ?? "",
          token_type_hint: "refresh_token",
        });
        same("the revocation's answer", [revoked.status, revoked.text], [200, ""]);
        same(`session ${i} after it, kept at nyc and lon`, await kept(), [false, false]);
        same("a refresh after it", (await alice.refresh(there, tokens)).status, 400);
      }
      return `${REVOCATIONS} tokens`;
    },
  },
  {
    name: "an offline token of one site is refreshed at the other, also after a logout",
    scenarios: [],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const bob = person({ username: "bob", scope: "openid offline_access" });
        const tokens = await bob.enter(here);
        const left = await bob.leave(here, tokens);
        same("where leaving leads", left.location?.host, "app.example");
        await becomes(
          "a form, after leaving",
          async () => (await bob.open(there)).forms.some(({ names }) => names.includes("password")),
          true,
        );
        const again = tokensOf(await bob.refresh(there, tokens));
        tokensOf(await bob.refresh(here, again));
      }
    },
  },
];
