import { setTimeout as sleep } from "node:timers/promises";
import { TRIAL_CLIENTS, TRIAL_REALM } from "../../lab/trial-realm.ts";
import type { KeycloakSite, Tokens } from "../keycloak/keycloak-site.ts";
import { LoginFlow, codeOf, tokensOf } from "../keycloak/login-flow.ts";

/** People who log in side by side; each is one user, because Keycloak lets nobody in twice at the same moment. */
const PEOPLE = 6;
/** Between two steps of one person, in ms. */
const STEP_MS = 300;
/** Refreshes of one session, at most. */
const REFRESHES_MAX = 4;
const EXAMPLES_MAX = 20;

/** What the people met. */
export interface TrafficReport {
  readonly logins: number;
  readonly steps: number;
  readonly errors: number;
  readonly examples: readonly string[];
}

/** People who log in, work and log out, each step at a site drawn anew: there is nothing sticky about it. */
export class KeycloakTraffic {
  readonly #sites: readonly KeycloakSite[];
  readonly #stopping = new AbortController();
  #loops: Promise<void>[] = [];
  #logins = 0;
  #steps = 0;
  #errors = 0;
  readonly #examples: string[] = [];

  constructor(sites: readonly KeycloakSite[]) {
    this.#sites = sites;
  }

  /** Makes the users, and lets them begin. */
  async start(): Promise<void> {
    const names = Array.from({ length: PEOPLE }, (_, i) => `soak-${i}`);
    for (const username of names)
      await this.#site().admin("POST", `${TRIAL_REALM}/users`, {
        username,
        enabled: true,
        email: `${username}@trial.example`,
        emailVerified: true,
        firstName: username,
        lastName: "Trial",
        credentials: [{ type: "password", value: username }],
      });
    this.#loops = names.map((username) => this.#live(username));
  }

  get report(): TrafficReport {
    return {
      logins: this.#logins,
      steps: this.#steps,
      errors: this.#errors,
      examples: this.#examples,
    };
  }

  /** Resolves once everybody has ended what they were at. */
  async stop(): Promise<TrafficReport> {
    this.#stopping.abort();
    await Promise.all(this.#loops);
    return this.report;
  }

  async #live(username: string): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#visit(username);
        this.#logins += 1;
      } catch (error) {
        this.#errors += 1;
        const what = error instanceof Error ? error.message : String(error);
        if (this.#examples.length < EXAMPLES_MAX) this.#examples.push(`${username}: ${what}`);
      }
      await this.#step();
    }
  }

  /** From the login form to the logout, after which nothing of it is good any more. */
  async #visit(username: string): Promise<void> {
    const [first, ...others] = TRIAL_CLIENTS;
    const login = { realm: TRIAL_REALM, client: first, username, password: username };
    const person = new LoginFlow(login);
    const form = await person.open(await this.#step());
    const code = codeOf(await person.submit(await this.#step(), form));
    let tokens = tokensOf(await person.exchange(await this.#step(), code));
    const times = Math.floor(Math.random() * (REFRESHES_MAX + 1));
    for (let i = 0; i < times; i++)
      tokens = tokensOf(await person.refresh(await this.#step(), tokens));
    const other = person.for(others[Math.floor(Math.random() * others.length)] ?? first);
    const known = codeOf(await other.open(await this.#step()));
    const more = tokensOf(await other.exchange(await this.#step(), known));
    await this.#isKnown(more);
    const { status } = await person.logout(await this.#step(), tokens);
    if (status !== 204) throw new Error(`logout: ${status}`);
    const late = await person.refresh(await this.#step(), tokens);
    if (late.status !== 400) throw new Error(`refreshed after the logout: ${late.status}`);
  }

  async #isKnown({ access_token: token = "" }: Tokens): Promise<void> {
    const site = await this.#step();
    const { status } = await site.userInfo(TRIAL_REALM, token);
    if (status !== 200) throw new Error(`${site.name} does not know who has a token: ${status}`);
  }

  /** Waits as a person would; the site of the next step. */
  async #step(): Promise<KeycloakSite> {
    this.#steps += 1;
    const ms = STEP_MS * (0.5 + Math.random());
    await sleep(this.#stopping.signal.aborted ? 0 : ms);
    return this.#site();
  }

  #site(): KeycloakSite {
    const site = this.#sites[Math.floor(Math.random() * this.#sites.length)];
    if (site === undefined) throw new Error("no Keycloak");
    return site;
  }
}
