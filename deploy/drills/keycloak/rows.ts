import type { KeycloakSessions } from "../../lab/lab-file.ts";
import type { Row } from "./row.ts";
import { changeRows } from "./rows/changes.ts";
import { expiryRows } from "./rows/expiry.ts";
import { failureRows } from "./rows/failures.ts";
import { loginRows } from "./rows/logins.ts";
import { logoutRows } from "./rows/logouts.ts";
import { partsAwayRows } from "./rows/parts-away.ts";
import { realBrowserRows } from "./rows/real-browser.ts";
import { singleUseRows } from "./rows/single-use.ts";
import { siteLossRows } from "./rows/site-loss.ts";
import { startRows } from "./rows/start.ts";
import { tokenRows } from "./rows/tokens.ts";

/** Rows that are about one thing. */
export interface Topic {
  readonly topic: string;
  readonly rows: readonly Row[];
}

/** Every row, by topic, in the order in which they are tried: those that stop or kill processes come last. */
export const TOPICS: readonly Topic[] = [
  { topic: "start", rows: startRows },
  { topic: "logins", rows: loginRows },
  { topic: "a real browser", rows: realBrowserRows },
  { topic: "tokens", rows: tokenRows },
  { topic: "logouts", rows: logoutRows },
  { topic: "changes", rows: changeRows },
  { topic: "failed logins", rows: failureRows },
  { topic: "single use", rows: singleUseRows },
  { topic: "expiry", rows: expiryRows },
  { topic: "parts away", rows: partsAwayRows },
  { topic: "a site lost", rows: siteLossRows },
];

/** Whether a row is tried where the sessions are. */
export const isTriedWith = ({ only }: Row, sessions: KeycloakSessions): boolean =>
  only === undefined || only === sessions;
