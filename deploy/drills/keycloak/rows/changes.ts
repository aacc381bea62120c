import { randomBytes } from "node:crypto";
import { TRIAL_REALM } from "../../../lab/trial-realm.ts";
import { becomes, eventually, same } from "../eventually.ts";
import type { KeycloakSite } from "../keycloak-site.ts";
import { tokensOf } from "../login-flow.ts";
import { inRealm, person, userId } from "../people.ts";
import type { Row } from "../row.ts";

interface Realm {
  readonly displayName: string;
  readonly registrationAllowed: boolean;
}

interface Client {
  readonly id: string;
  readonly clientId: string;
  readonly name?: string;
}

interface User {
  readonly id: string;
  readonly firstName?: string;
  readonly enabled: boolean;
}

interface Resource {
  readonly _id: string;
  readonly name: string;
  readonly uris: readonly string[];
}

const REALM = TRIAL_REALM;

/** What an administrator changes at one site, which the other has in memory: told by messages in `work`. */
export const changeRows: readonly Row[] = [
  {
    name: "a realm's name and registration that are changed at one site are seen at the other, which had them in memory",
    scenarios: [19, 48],
    async run({ ways }) {
      const times: string[] = [];
      for (const [here, there] of ways) {
        const displayName = `Trial of ${here.name}`;
        const form = async () => (await person().open(there)).text;
        same("the new name on the form before", (await form()).includes(displayName), false);
        same("registration on the form before", /\bRegister\b/.test(await form()), false);
        const begin = performance.now();
        await here.admin("PUT", REALM, { displayName, registrationAllowed: true });
        await eventually("the new name", async () => (await form()).includes(displayName));
        times.push(`${((performance.now() - begin) / 1_000).toFixed(1)} s`);
        await becomes("registration", async () => /\bRegister\b/.test(await form()), true);
        const { registrationAllowed } = await there.admin<Realm>("GET", REALM);
        same("registration by the administration", registrationAllowed, true);
        await here.admin("PUT", REALM, { displayName: "Trial", registrationAllowed: false });
        await becomes(
          "the old name",
          async () => (await there.admin<Realm>("GET", REALM)).displayName,
          "Trial",
        );
        await becomes("no registration", async () => /\bRegister\b/.test(await form()), false);
      }
      return `seen after ${times.join(" and ")}`;
    },
  },
  {
    name: "a client's name that is changed at one site is seen at the other",
    scenarios: [20],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const { id, clientId } = await clientOf(there, "desk");
        const name = `Desk of ${here.name}`;
        const shown = async () => (await there.admin<Client>("GET", `${REALM}/clients/${id}`)).name;
        same("the new name before", (await shown()) === name, false);
        await here.admin("PUT", `${REALM}/clients/${id}`, { clientId, name });
        await becomes("the name", shown, name);
      }
    },
  },
  {
    name: "a client that is made, and removed, at one site comes and goes in the other's list",
    scenarios: [21],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const clientId = fresh("client");
        const isListed = async () =>
          (await there.admin<Client[]>("GET", `${REALM}/clients`)).some(
            (client) => client.clientId === clientId,
          );
        same("listed before", await isListed(), false);
        await here.admin("POST", `${REALM}/clients`, { clientId, publicClient: true });
        await becomes("listed", isListed, true);
        const { id } = await clientOf(here, clientId);
        await here.admin("DELETE", `${REALM}/clients/${id}`);
        await becomes("listed after its removal", isListed, false);
      }
    },
  },
  {
    name: "a user's first name that is changed at one site is seen at the other",
    scenarios: [22],
    async run({ ways }) {
      const path = `${REALM}/users/${await userId(ways[0][0], "carol")}`;
      for (const [here, there] of ways) {
        const firstName = `Carol of ${here.name}`;
        const shown = async () => (await there.admin<User>("GET", path)).firstName;
        same("the new name before", (await shown()) === firstName, false);
        const carol = await here.admin<User>("GET", path);
        await here.admin("PUT", path, { ...carol, firstName });
        await becomes("the name", shown, firstName);
      }
    },
  },
  {
    name: "the address of a protected resource that is changed at one site is seen at the other",
    scenarios: [23],
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        const [nyc] = lab.sites;
        await nyc.admin("POST", `${realm}/clients`, {
          clientId: "guarded",
          publicClient: false,
          serviceAccountsEnabled: true,
          authorizationServicesEnabled: true,
        });
        const { id } = await clientOf(nyc, "guarded", realm);
        const path = `${realm}/clients/${id}/authz/resource-server/resource`;
        const made = { name: "album", uris: ["/album"] };
        const { _id } = await nyc.admin<Resource>("POST", path, made);
        for (const [here, there] of lab.ways) {
          const shown = async () => (await there.admin<Resource>("GET", `${path}/${_id}`)).uris;
          const uris = [`/album/${here.name}`];
          await eventually("the resource", async () => (await shown()).length === 1);
          await here.admin("PUT", `${path}/${_id}`, { ...made, _id, uris });
          await becomes("the address", shown, uris);
        }
      }),
  },
  {
    name: "a user who is made at one site is there, and can log in, at the other at once",
    scenarios: [8],
    async run({ ways }) {
      for (const [here, there] of ways) {
        const username = fresh("user");
        await here.admin("POST", `${REALM}/users`, {
          username,
          enabled: true,
          email: `${username}@trial.example`,
          firstName: username,
          lastName: "Trial",
          credentials: [{ type: "password", value: username }],
        });
        const id = await userId(there, username);
        await person({ username }).enter(there);
        await there.admin("DELETE", `${REALM}/users/${id}`);
      }
    },
  },
  {
    name: "a password that is changed at one site is the only one at the other, which had the user in memory",
    scenarios: [],
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        let password = "alice";
        for (const [here, there] of lab.ways) {
          tokensOf(await person({ realm, password }).grant(there));
          const id = await userId(here, "alice", realm);
          const value = `changed at ${here.name}`;
          const credential = { type: "password", value, temporary: false };
          await here.admin("PUT", `${realm}/users/${id}/reset-password`, credential);
          await eventually(
            `the new one at ${there.name}`,
            async () => (await person({ realm, password: value }).grant(there)).status === 200,
          );
          const old = await person({ realm, password }).grant(there);
          same("the old one's answer", old.json?.error_description, "Invalid user credentials");
          password = value;
        }
      }),
  },
  {
    name: "a user who is disabled at one site gets no more tokens at the other",
    scenarios: [],
    run: (lab) =>
      inRealm(lab, {}, async (realm) => {
        for (const [here, there] of lab.ways) {
          const path = `${realm}/users/${await userId(here, "bob", realm)}`;
          const bob = person({ realm, username: "bob" });
          const tokens = await bob.enter(there);
          const user = await here.admin<User>("GET", path);
          await here.admin("PUT", path, { ...user, enabled: false });
          await becomes(
            "a refresh's answer",
            async () => (await bob.refresh(there, tokens)).status,
            400,
          );
          await here.admin("PUT", path, { ...user, enabled: true });
          await eventually(
            "tokens again",
            async () => (await person({ realm, username: "bob" }).grant(there)).status === 200,
          );
        }
      }),
  },
];

const fresh = (kind: string): string => `${kind}-${randomBytes(4).toString("hex")}`;

async function clientOf(site: KeycloakSite, clientId: string, realm = REALM): Promise<Client> {
  const [client] = await site.admin<Client[]>("GET", `${realm}/clients?clientId=${clientId}`);
  if (client === undefined) throw new Error(`${site.name} knows no client ${clientId}`);
  return client;
}
