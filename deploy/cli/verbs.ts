import { caches } from "./caches.ts";
import { check } from "./check.ts";
import { completion } from "./completion.ts";
import { conflicts } from "./conflicts.ts";
import { deadLetters } from "./dead-letters.ts";
import { demo } from "./demo.ts";
import { drill } from "./drill.ts";
import { lab } from "./lab.ts";
import { natsConfig } from "./nats-config.ts";
import { offline, online } from "./offline.ts";
import { pause, resume } from "./pause.ts";
import { resync } from "./resync.ts";
import { run } from "./run.ts";
import { status } from "./status.ts";
import { trace } from "./trace.ts";
import { verify } from "./verify.ts";
import type { Verb } from "./verb.ts";

/** Every verb of this version, in the order of help. */
export const verbs: readonly Verb[] = [
  demo,
  run,
  status,
  conflicts,
  deadLetters,
  trace,
  verify,
  resync,
  pause,
  resume,
  offline,
  online,
  check,
  caches,
  natsConfig,
  lab,
  drill,
  completion,
];

/** Verbs of the interface that this version does not have: named plainly when asked for, and not in help. */
export const plannedVerbs: readonly string[] = [
  "doctor",
  "plan",
  "apply",
  "policy",
  "ready",
  "switchover",
  "failover",
  "quarantine",
  "keys",
];
