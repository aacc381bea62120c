// Goal: two Keycloaks, each with its own Infinispan behind a front door, are one to whoever logs in: each step of a login, and
// what ends it, may come to either site.
// Method: `isthmus lab up --keycloak`, and a browser of our own whose every request is sent to the site that the test names.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { main } from "../../deploy/cli/main.ts";
import type { KeycloakSite, Tokens } from "../../deploy/drills/keycloak/keycloak-site.ts";
import { labKeycloaks } from "../../deploy/drills/keycloak/lab-sites.ts";
import { LoginFlow, codeIn, codeOf, tokensOf } from "../../deploy/drills/keycloak/login-flow.ts";
import { databaseFolder } from "../../deploy/lab/database-folder.ts";
import { processFacts } from "../../deploy/lab/process-table.ts";
import type { LabProcess } from "../../deploy/lab/lab-state.ts";
import type { SiteStatus } from "../../deploy/status/site-status.ts";
import { TRIAL_REALM } from "../../deploy/lab/trial-realm.ts";
import { until } from "../support/linked-sites.ts";

/** The first run fetches and builds Keycloak. */
const START_MS_MAX = 900_000;
/** What a site tells the other without anybody waiting for it is there by then, ms. */
const SEEN_MS_MAX = 10_000;

/** The caches whose writers wait. */
const HELD = [
  "sessions",
  "clientSessions",
  "offlineSessions",
  "offlineClientSessions",
  "authenticationSessions",
  "actionTokens",
];

interface Reported extends LabProcess {
  readonly state: string;
  readonly memoryBytes: number;
}

let cwd = "";
let up = { code: -1, out: "", err: "" };
let processes: Reported[] = [];
let nyc: KeycloakSite;
let lon: KeycloakSite;

async function lab(...argv: string[]) {
  const written = { out: "", err: "" };
  const code = await main(["lab", ...argv], {
    stdout: { write: (text) => (written.out += text) },
    stderr: { write: (text) => (written.err += text) },
    cwd,
    version: "0",
  });
  return { code, ...written };
}

beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "isthmus-keycloak-"));
  up = await lab("up", "--keycloak");
  if (up.code !== 0) throw new Error(up.err);
  const { out } = await lab("status", "--json");
  ({ processes } = JSON.parse(out) as { processes: Reported[] });
  [nyc, lon] = labKeycloaks(processes) as [KeycloakSite, KeycloakSite];
}, START_MS_MAX);

afterAll(async () => {
  const { err } = await lab("down");
  for (const { pid, name } of processes)
    expect(await processFacts(pid), `${name}: ${err}`).toBeUndefined();
  expect(existsSync(join(cwd, "lab"))).toBe(false);
  expect(existsSync(databaseFolder(join(cwd, "lab")))).toBe(false);
  rmSync(cwd, { recursive: true, force: true });
}, 120_000);

const flow = (username = "alice", client = "shop", scope = "openid") =>
  new LoginFlow({ realm: TRIAL_REALM, client, username, password: username, scope });

/** Both ways: from the first site to the second. */
const WAYS = [
  ["nyc", "lon", () => [nyc, lon] as const],
  ["lon", "nyc", () => [lon, nyc] as const],
] as const;

const seen = <T>(what: string, ask: () => Promise<T | undefined | false>): Promise<T> =>
  until(what, ask, SEEN_MS_MAX);

describe("a lab with Keycloak", () => {
  it("shows every part, ready, in the order of its start, and says how to log in", async () => {
    expect(processes.map(({ name, state }) => `${name} ${state}`)).toEqual([
      "nats-server nyc ready",
      "nats-server lon ready",
      "PostgreSQL ready",
      "Infinispan nyc ready",
      "Infinispan lon ready",
      "isthmus nyc ready",
      "isthmus lon ready",
      "Keycloak nyc ready",
      "Keycloak lon ready",
    ]);
    for (const { name, memoryBytes } of processes)
      expect(memoryBytes, name).toBeGreaterThan(2 ** 20);
    for (const site of [nyc, lon]) expect(up.err).toContain(`Keycloak ${site.name}: http://`);
    expect(up.err).toContain("administrator of both: admin, password admin");
    process.stdout.write(up.err + up.out);
    const again = await lab("up", "--keycloak", "--persistent-sessions");
    expect(again.code).toBe(1);
    expect(again.err).toContain("runs already, with Keycloak's sessions in Infinispan");
  });

  // A writer of nyc may have waited in vain while lon's Keycloak had not made its caches yet.
  it("holds each cache that Keycloak made, at both sites, once both have it", async () => {
    for (const { name, ports } of processes.filter(({ kind }) => kind === "isthmus")) {
      const held = async () => {
        const response = await fetch(`http://127.0.0.1:${ports["http"]}/api/v1/status`);
        const { caches } = (await response.json()) as Pick<SiteStatus, "caches">;
        const states = new Map(caches.map(({ cache, state }) => [cache, state]));
        const wrong = HELD.filter((cache) => states.get(cache) !== "held");
        if (wrong.length > 0) throw new Error(`not held: ${wrong.join(", ")}`);
        return ["loginFailures", "work"].every((cache) => states.get(cache) === "live");
      };
      await seen(`each cache of ${name}`, held);
    }
  });
});

describe.each(WAYS)("from %s to %s", (_from, _to, way) => {
  it("a form that was shown at one is taken at the other", async () => {
    const [here, there] = way();
    for (let i = 0; i < 5; i++) {
      const person = flow();
      const page = await person.open(here);
      expect(page.status).toBe(200);
      const answer = await person.submit(there, page);
      expect(answer.status, answer.text).toBe(302);
      const tokens = tokensOf(await person.exchange(there, codeOf(answer)));
      expect((await there.userInfo(TRIAL_REALM, tokens.access_token ?? "")).status).toBe(200);
    }
  });

  it("a code that was given at one is traded at the other, once", async () => {
    const [here, there] = way();
    for (let i = 0; i < 5; i++) {
      const person = flow();
      const code = codeOf(await person.submit(here, await person.open(here)));
      tokensOf(await person.exchange(there, code));
      for (const site of [here, there]) {
        const again = await person.exchange(site, code);
        expect([again.status, again.json?.error]).toEqual([400, "invalid_grant"]);
      }
    }
  });

  it("a person who is logged in at one needs no password at the other", async () => {
    const [here, there] = way();
    const person = flow();
    const first = await person.enter(here);
    const desk = person.for("desk");
    const second = tokensOf(await desk.exchange(there, codeOf(await desk.open(there))));
    expect(second.session_state).toBe(first.session_state);
    expect(second.session_state).toBeTypeOf("string");
  });

  it("tokens of one are refreshed at the other, and back", async () => {
    const [here, there] = way();
    const person = flow();
    let tokens = await person.enter(here);
    for (const site of [there, here, there, there, here])
      tokens = tokensOf(await person.refresh(site, tokens));
    expect((await here.userInfo(TRIAL_REALM, tokens.access_token ?? "")).status).toBe(200);
  });

  it("a logout at one is one at the other", async () => {
    const [here, there] = way();
    const person = flow();
    const tokens = await person.enter(here);
    tokensOf(await person.refresh(there, tokens));
    expect((await person.logout(here, tokens)).status).toBe(204);
    const late = await person.refresh(there, tokens);
    expect([late.status, late.json?.error]).toEqual([400, "invalid_grant"]);
    const page = await person.for("desk").open(there);
    expect(codeIn(page)).toBeUndefined();
    expect(page.forms.flatMap(({ names }) => names)).toContain("password");
  });

  it("a change of the realm at one is seen at the other, which had it in memory", async () => {
    const [here, there] = way();
    const displayName = `Trial of ${here.name}`;
    const heading = async () => (await flow().open(there)).text;
    expect(await heading()).not.toContain(displayName);
    const begin = performance.now();
    await here.admin("PUT", TRIAL_REALM, { displayName });
    await seen("the new name", async () => (await heading()).includes(displayName));
    expect(await there.admin("GET", TRIAL_REALM)).toMatchObject({ displayName });
    const seconds = ((performance.now() - begin) / 1_000).toFixed(2);
    process.stdout.write(`realm changed at ${here.name}, seen at ${there.name}: ${seconds} s\n`);
  });

  it("an offline token of one is refreshed at the other, also after a logout", async () => {
    const [here, there] = way();
    const person = flow("bob", "shop", "openid offline_access");
    const tokens = await person.enter(here);
    expect((await person.leave(here, tokens)).location?.href).toContain("app.example");
    expect((await person.open(there)).status).toBe(200);
    const again = tokensOf(await person.refresh(there, tokens));
    tokensOf(await person.refresh(here, again));
  });

  it("a token that is revoked at one is refused at the other", async () => {
    const [here, there] = way();
    const person = flow();
    const tokens = await person.enter(here);
    const revoked = await here.post(TRIAL_REALM, "revoke", {
      client_id: "shop",
      token: tokens.refresh_token ?? "",
      token_type_hint: "refresh_token",
    });
    expect(revoked.status).toBe(200);
    expect((await person.refresh(there, tokens)).status).toBe(400);
  });

  it("each tab that was opened at one is good at the other, and all are one login", async () => {
    const [here, there] = way();
    const person = flow();
    const tabs = [];
    for (let i = 0; i < 10; i++) tabs.push(await person.open(i % 2 === 0 ? here : there));
    for (const [i, tab] of tabs.entries()) {
      const page = await person.submit(i % 2 === 0 ? there : here, tab, "wrong");
      expect(page.text, `tab ${i}`).toContain("Invalid username or password");
    }
    const tab = await person.open(here);
    codeOf(await person.submit(there, tab));
    codeOf(await person.open(here));
  });
});

describe("at both sites at the same moment", () => {
  it("a code is good once", async () => {
    for (let i = 0; i < 20; i++) {
      const person = flow();
      const [given, other] = i % 2 === 0 ? [nyc, lon] : [lon, nyc];
      const code = codeOf(await person.submit(given, await person.open(given)));
      const answers = await Promise.all([
        person.exchange(given, code),
        person.exchange(other, code),
      ]);
      const statuses = answers.map(({ status }) => status);
      expect(new Set(statuses), `code ${i}`).toEqual(new Set([200, 400]));
    }
  });

  it("twenty tabs of one browser are opened, and each is good", async () => {
    const person = flow();
    await person.open(nyc);
    const tabs = await Promise.all(
      Array.from({ length: 20 }, (_, i) => person.open(i % 2 === 0 ? nyc : lon)),
    );
    for (const [i, tab] of tabs.entries()) {
      const page = await person.submit(i % 2 === 0 ? lon : nyc, tab, "wrong");
      expect(page.text, `tab ${i}`).toContain("Invalid username or password");
    }
  });
});

describe("counts", () => {
  it("of failed logins go on at the other site", async () => {
    const users = await nyc.admin<{ id: string }[]>("GET", `${TRIAL_REALM}/users?username=carol`);
    const path = `${TRIAL_REALM}/attack-detection/brute-force/users/${users[0]?.id}`;
    const counted = async (site: KeycloakSite) =>
      (await site.admin<{ numFailures: number }>("GET", path)).numFailures;
    const person = flow("carol");
    for (const [site, total] of [
      [nyc, 3],
      [lon, 6],
      [nyc, 9],
    ] as const) {
      for (let i = 0; i < 3; i++) {
        const page = await person.submit(site, await person.open(site), "wrong");
        expect(page.status).toBe(200);
      }
      for (const each of [nyc, lon])
        await seen(
          `${total} failures at ${each.name}`,
          async () => (await counted(each)) === total,
        );
    }
    await lon.admin("DELETE", path);
    for (const each of [nyc, lon])
      await seen(`none at ${each.name}`, async () => (await counted(each)) === 0);
  });

  it("of sessions are the same at both sites, and none is left after everybody is logged out", async () => {
    const users = await nyc.admin<{ id: string }[]>("GET", `${TRIAL_REALM}/users?username=carol`);
    const path = `${TRIAL_REALM}/users/${users[0]?.id}/sessions`;
    const sessions = async (site: KeycloakSite) =>
      (await site.admin<unknown[]>("GET", path)).length;
    for (const site of [nyc, lon, nyc, lon]) await flow("carol").enter(site);
    for (const site of [nyc, lon])
      await seen(`4 sessions at ${site.name}`, async () => (await sessions(site)) === 4);
    await lon.admin("POST", `${TRIAL_REALM}/logout-all`);
    for (const site of [nyc, lon])
      await seen(`no session at ${site.name}`, async () => (await sessions(site)) === 0);
  });
});

describe("a site that is killed", () => {
  it("takes nobody with it who was let in: the other site knows their cookies, codes and tokens", async () => {
    // One after the other: Keycloak lets nobody in who logs in twice at the same moment.
    const held: [LoginFlow, Tokens][] = [];
    const codes: [LoginFlow, string][] = [];
    for (let i = 0; i < 5; i++) {
      const [first, second] = [flow("bob"), flow("bob")];
      held.push([first, await first.enter(nyc)]);
      codes.push([second, codeOf(await second.submit(nyc, await second.open(nyc)))]);
    }
    const victims = processes.filter(({ site, kind }) => site === "nyc" && kind !== "postgres");
    expect(victims).toHaveLength(4);
    for (const { pid } of victims) process.kill(pid, "SIGKILL");
    expect(await lon.lbCheck()).toBe(200);
    for (const [person, code] of codes) tokensOf(await person.exchange(lon, code));
    for (const [person, tokens] of held) {
      tokensOf(await person.refresh(lon, tokens));
      codeOf(await person.for("desk").open(lon));
    }
    await flow("carol").enter(lon);
  }, 120_000);
});
