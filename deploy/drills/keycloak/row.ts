import type { KeycloakSessions } from "../../lab/lab-file.ts";
import type { KeycloakLab } from "./keycloak-lab.ts";

/** One behaviour that people or programs rely on, and how it is tried. */
export interface Row {
  /** A sentence. */
  readonly name: string;
  /** Of the tests that come with Keycloak, by their numbers in deploy/docs/keycloak.md; empty: it stems from none of them. */
  readonly scenarios: readonly number[];
  /** It stops or kills processes. */
  readonly harms?: true;
  /** It takes long, because of what it waits for or how much it does: the live test leaves it to the drill. */
  readonly waits?: true;
  /** It looks at sessions where they are only then; undefined: it is tried wherever they are. */
  readonly only?: KeycloakSessions;
  /** What it needs beyond the lab. */
  readonly needs?: "chromium";
  /** Resolves with figures worth telling, if there are any. @throws Error that says what was expected and what was found */
  run(lab: KeycloakLab): Promise<string | void>;
}
