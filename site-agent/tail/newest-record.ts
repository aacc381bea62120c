import { LEDGER_PAGE_ROWS } from "../../topology/limits.ts";
import { type Batch, readableRecord, type TermBegin } from "../../topology/mutation/batch.ts";
import type { SiteName } from "../../topology/names.ts";
import type { SiteLog } from "../../topology/ports.ts";

/**
 * The newest record that a site wrote into its own log under a subject (wildcards allowed). What others put there, or what
 * nobody can read, is passed over: the targets set it aside too.
 *
 * @throws WireVersionUnknown, and as the log does
 */
export async function newestRecord(
  log: SiteLog,
  site: SiteName,
  subject: string,
): Promise<Batch | TermBegin | undefined> {
  const last = await log.last(subject);
  if (last === undefined) return undefined;
  const newest = ownRecord(last.payload, site);
  if (newest !== undefined) return newest;
  const firstSeq = (await log.state())?.firstSeq ?? last.seq;
  for (let end = last.seq - 1; end >= firstSeq; end -= LEDGER_PAGE_ROWS) {
    const records = await log.window(subject, end - LEDGER_PAGE_ROWS, end);
    for (const { payload } of records.toReversed()) {
      const record = ownRecord(payload, site);
      if (record !== undefined) return record;
    }
  }
  return undefined;
}

function ownRecord(payload: Uint8Array, site: SiteName): Batch | TermBegin | undefined {
  const record = readableRecord(payload);
  const origin = record?.kind === "batch" ? record.header.origin : record?.origin;
  return origin === site ? record : undefined;
}
