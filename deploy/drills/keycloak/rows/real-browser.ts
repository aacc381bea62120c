import type { Page } from "playwright-core";
import { Balancer } from "../balancer.ts";
import { inChromium } from "../chromium.ts";
import { same } from "../eventually.ts";
import { REDIRECT, tokensOf } from "../login-flow.ts";
import { person, sessionOf } from "../people.ts";
import type { Row } from "../row.ts";

/** A real browser, with its own ideas of cookies, redirects and scripts. */
export const realBrowserRows: readonly Row[] = [
  {
    name: "a person with a Chromium, whose requests come to the sites in turn, logs in, is known to a second client, and leaves",
    scenarios: [26, 46],
    needs: "chromium",
    async run({ sites: [nyc, lon] }) {
      await using balancer = await Balancer.start([nyc, lon]);
      await inChromium(balancer.url, async (page) => {
        const alice = person();
        await page.goto(alice.startUrl(nyc).href);
        await page.locator("#username").fill("alice");
        await page.locator("#password").fill("alice");
        await page.locator("#kc-login").click();
        const tokens = tokensOf(await alice.exchange(lon, await codeAt(page)));
        const desk = alice.for("desk");
        await page.goto(desk.startUrl(nyc).href);
        const joined = tokensOf(await desk.exchange(nyc, await codeAt(page)));
        same("the session", sessionOf(joined), sessionOf(tokens));
        await page.goto(alice.leaveUrl(nyc, tokens).href);
        await page.waitForURL(isBack);
        await page.goto(alice.for("wiki").startUrl(nyc).href);
        await page.locator("#password").waitFor();
        for (const site of [nyc, lon])
          same("a refresh after leaving", (await alice.refresh(site, tokens)).status, 400);
      });
      const came = [nyc, lon].map((site) => balancer.came(site));
      same("requests came to both sites", Math.min(...came) > 1, true);
      return `${came.join(" and ")} requests`;
    },
  },
];

const isBack = (url: URL): boolean => url.href.startsWith(REDIRECT);

/** The code that the page was led back with. */
async function codeAt(page: Page): Promise<string> {
  await page.waitForURL(isBack);
  const code = new URL(page.url()).searchParams.get("code");
  if (code === null) throw new Error(`no code: ${page.url()}`);
  return code;
}
