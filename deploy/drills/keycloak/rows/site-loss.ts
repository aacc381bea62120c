import { becomes, same } from "../eventually.ts";
import type { Tokens } from "../keycloak-site.ts";
import { codeOf, tokensOf } from "../login-flow.ts";
import type { LoginFlow } from "../login-flow.ts";
import { isKept, person, sessionOf } from "../people.ts";
import type { Row } from "../row.ts";
import { enteredAt } from "./parts-away.ts";

/** People of each kind: who hold tokens, who hold a code, who left. */
const PEOPLE = 5;

/** A site that is killed, all of it, and comes back. */
function siteLoss(): Row[] {
  const held: [LoginFlow, Tokens][] = [];
  const left: [LoginFlow, Tokens][] = [];
  let isKilled = false;
  return [
    {
      name: "a site that is killed right after it answered takes nobody with it: its cookies, codes and tokens are good at the other, and who left stays out",
      scenarios: [11],
      harms: true,
      async run(lab) {
        const [nyc, lon] = lab.sites;
        held.push(...(await enteredAt(nyc, PEOPLE)));
        left.push(...(await enteredAt(nyc, PEOPLE)));
        for (const [alice, tokens] of left)
          same("a logout's status", (await alice.logout(nyc, tokens)).status, 204);
        const codes: [LoginFlow, string][] = [];
        for (let i = 0; i < PEOPLE; i++) {
          const bob = person({ username: "bob" });
          codes.push([bob, codeOf(await bob.submit(nyc, await bob.open(nyc)))]);
        }
        await lab.killSite("nyc");
        isKilled = true;
        same("/lb-check of lon", await lon.lbCheck(), 200);
        for (const [bob, code] of codes) {
          held.push([bob, tokensOf(await bob.exchange(lon, code))]);
          codeOf(await bob.for("desk").open(lon));
        }
        for (const [alice, tokens] of held) {
          tokensOf(await alice.refresh(lon, tokens));
          codeOf(await alice.for("wiki").open(lon));
        }
        for (const [alice, tokens] of left)
          same("a refresh of who left", (await alice.refresh(lon, tokens)).status, 400);
        await person({ username: "carol" }).enter(lon);
        return `${held.length} people`;
      },
    },
    {
      name: "a killed site that is started again, its cache empty, is level with the other, and nobody who left is back",
      scenarios: [37],
      harms: true,
      async run(lab) {
        if (!isKilled) throw new Error("the row before did not kill the site");
        const [nyc, lon] = lab.sites;
        // They leave, and others come, while the site is away.
        for (const [alice, tokens] of held.splice(0, PEOPLE)) {
          same("a logout's status", (await alice.logout(lon, tokens)).status, 204);
          left.push([alice, tokens]);
        }
        held.push(...(await enteredAt(lon, PEOPLE)));
        await lab.startSite("nyc");
        const keys = await lab.sameKeys();
        for (const [alice, tokens] of held) {
          tokensOf(await alice.refresh(nyc, tokens));
          codeOf(await alice.for("desk").open(nyc));
        }
        for (const site of lab.sites)
          for (const [alice, tokens] of left) {
            const who = { username: alice.login.username };
            const isBack = () => isKept(lab, site, sessionOf(tokens), who);
            await becomes(`kept at ${site.name}`, isBack, false);
            same("a refresh of who left", (await alice.refresh(site, tokens)).status, 400);
          }
        return `${keys} keys, ${held.length} people who stayed, ${left.length} who left`;
      },
    },
  ];
}

/** See {@link siteLoss}. */
export const siteLossRows: readonly Row[] = siteLoss();
