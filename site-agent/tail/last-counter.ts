import { LOG_STRAYS_MAX } from "../../topology/limits.ts";
import { type BatchHeader, readableBatch } from "../../topology/mutation/batch.ts";
import type { SiteLog, StoredMessage } from "../../topology/ports.ts";

/**
 * The counter of a subject's newest batch in the own log, if that is of the incarnation; else 0. A record that is no batch is
 * stepped over: somebody else wrote it, the targets set it aside, and it must not end this site's publishing.
 */
export async function lastCounter(
  log: Pick<SiteLog, "last" | "window">,
  subject: string,
  incarnation: string,
): Promise<number> {
  const last = await log.last(subject);
  if (last === undefined) return 0;
  let header = headerOf(last);
  if (header === undefined) {
    const from = Math.max(0, last.seq - LOG_STRAYS_MAX);
    const before = await log.window(subject, from, last.seq - 1);
    header = before.map(headerOf).findLast((found) => found !== undefined);
  }
  return header?.incarnation === incarnation ? header.counter : 0;
}

const headerOf = ({ payload }: StoredMessage): BatchHeader | undefined =>
  readableBatch(payload)?.header;
