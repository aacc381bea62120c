import { same } from "../eventually.ts";
import type { KeycloakLab } from "../keycloak-lab.ts";
import type { KeycloakSite } from "../keycloak-site.ts";
import { codeIn, codeOf, tokensOf } from "../login-flow.ts";
import { MailSink } from "../mail-sink.ts";
import { inRealm, person } from "../people.ts";
import type { Row } from "../row.ts";

/** Codes that are traded at both sites at the same moment. */
const CODES = 20;

/** What is good once. */
export const singleUseRows: readonly Row[] = [
  {
    name: "a code that is traded at both sites at the same moment is good once",
    scenarios: [2, 42],
    async run({ sites: [nyc, lon] }) {
      for (let i = 0; i < CODES; i++) {
        const alice = person();
        const [given, other] = i % 2 === 0 ? [nyc, lon] : [lon, nyc];
        const code = codeOf(await alice.submit(given, await alice.open(given)));
        const answers = await Promise.all([
          alice.exchange(given, code),
          alice.exchange(other, code),
        ]);
        same(
          `code ${i}`,
          answers.map(({ status }) => status).toSorted((a, b) => a - b),
          [200, 400],
        );
      }
      return `${CODES} codes`;
    },
  },
  {
    name: "a link to reset a password, from a mail, is used at one site and refused at the other",
    scenarios: [13, 43],
    async run(lab) {
      await using sink = await MailSink.start();
      const smtpServer = { host: "127.0.0.1", port: String(sink.port), from: "sso@trial.example" };
      await inRealm(lab, { resetPasswordAllowed: true, smtpServer }, async (realm) => {
        for (const [here, there] of lab.ways) {
          const link = await mailedLink(lab, sink, realm, here);
          const password = `reset at ${here.name}`;
          const alice = person({ realm });
          const { browser } = alice;
          // The mail is read in another browser than the one that asked for it; Keycloak then asks whether to go on.
          let page = await browser.follow(here, await browser.get(here, link));
          const [next] = page.links.filter((href) => href.includes("action-token"));
          if (next !== undefined) page = await browser.follow(here, await browser.get(here, next));
          const form = page.forms.find(({ names }) => names.includes("password-new"));
          if (form === undefined)
            throw new Error(`no form for a new password: ${page.status} ${page.text}`);
          const typed = { "password-new": password, "password-confirm": password };
          const answer = await browser.follow(there, await browser.submit(there, form, typed));
          same("the answer to a new password", answer.status < 400, true);
          tokensOf(await person({ realm, password }).grant(there));
          for (const site of [there, here]) {
            const late = person({ realm }).browser;
            const refused = await late.follow(site, await late.get(site, link));
            same(`the status of its second use at ${site.name}`, refused.status, 400);
            same(`its form at ${site.name}`, refused.forms.length, 0);
          }
        }
      });
    },
  },
  {
    name: "a link to reset a password that was asked for at one site is good at the other, in the same browser",
    scenarios: [13],
    async run(lab) {
      await using sink = await MailSink.start();
      const smtpServer = { host: "127.0.0.1", port: String(sink.port), from: "sso@trial.example" };
      await inRealm(lab, { resetPasswordAllowed: true, smtpServer }, async (realm) => {
        for (const [here, there] of lab.ways) {
          const alice = person({ realm });
          const { browser } = alice;
          const link = await mailedLink(lab, sink, realm, here, alice);
          const page = await browser.follow(there, await browser.get(there, link));
          const form = page.forms.find(({ names }) => names.includes("password-new"));
          if (form === undefined)
            throw new Error(`no form for a new password: ${page.status} ${page.text}`);
          const password = `reset at ${there.name}`;
          const typed = { "password-new": password, "password-confirm": password };
          const answer = await browser.submit(here, form, typed);
          const end = codeIn(answer) === undefined ? await browser.follow(here, answer) : answer;
          tokensOf(await alice.exchange(there, codeOf(end)));
        }
      });
    },
  },
];

/** Asks at a site for a mail to reset alice's password, and resolves with the link in it. */
async function mailedLink(
  { sites: [nyc] }: KeycloakLab,
  sink: MailSink,
  realm: string,
  site: KeycloakSite,
  alice = person({ realm }),
): Promise<string> {
  const login = await alice.open(site);
  const [forgotten] = login.links.filter((href) => href.includes("reset-credentials"));
  if (forgotten === undefined) throw new Error(`no link for a forgotten password: ${login.text}`);
  const page = await alice.browser.follow(site, await alice.browser.get(site, forgotten));
  const form = page.forms.find(({ names }) => names.includes("username"));
  if (form === undefined) throw new Error(`no form for a mail: ${page.status} ${page.text}`);
  await alice.browser.submit(site, form, { username: "alice" });
  const text = await sink.taken("alice@trial.example");
  const link = text.split(/\s+/).find((word) => word.startsWith(nyc.publicUrl));
  if (link === undefined) throw new Error(`no link in the mail: ${text}`);
  return link;
}
