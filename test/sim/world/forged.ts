import { encodeBatch } from "../../../topology/mutation/batch.ts";
import { logSubject } from "../../../topology/names.ts";
import { hashOf, MEDIA_TYPE } from "./sim-cache.ts";
import { NEVER } from "./sim-config.ts";
import type { SimLog } from "./sim-log.ts";
import { EPOCH_MS } from "./sim-process.ts";

/** Stores a record that Isthmus did not write into a site's log: bytes of nobody, or a change of a local cache. */
export function forge(log: SimLog, cache: string, draw: number): void {
  const { site, parts } = log;
  if (log.stream === undefined) return;
  const id = `forged ${draw}`;
  if (draw < 0.5) {
    log.forge(logSubject(site, cache), Buffer.from("not a batch"), id);
    return;
  }
  const value = Buffer.from(`forged at ${site}`);
  const dot = BigInt(Math.floor(EPOCH_MS + parts.time.now)) << 16n;
  const mutation = {
    key: "mine",
    kind: "put",
    dot,
    context: new Map(),
    at: EPOCH_MS,
    hash: hashOf(value),
    expiresAt: 0,
    maxIdleMs: 0,
    value,
  } as const;
  const header = {
    origin: site,
    cache: NEVER,
    epoch: 1,
    term: 1,
    incarnation: "forged",
    counter: 1,
    policyHash: "",
    mode: "async",
    offsets: new Map(),
    mediaType: MEDIA_TYPE,
    held: false,
  } as const;
  log.forge(logSubject(site, NEVER), encodeBatch(header, [mutation]), id);
}
