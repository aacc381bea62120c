import { gunzipSync, gzipSync } from "node:zlib";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { STATUS_BYTES_MAX, STATUS_TIMEOUT_MS } from "../../topology/limits.ts";
import { controlSubject, type SiteName } from "../../topology/names.ts";
import type { Bus } from "../../topology/ports.ts";
import type { SiteStatus, UnreachableSite } from "./site-status.ts";

/** Answers `isthmus.ctl.SITE.status` with gzipped JSON: of many caches it would not fit into one message otherwise. */
export function serveStatus(bus: Bus, site: SiteName, status: () => SiteStatus): () => void {
  return bus.serve(controlSubject(site, "status"), async () =>
    gzipSync(Buffer.from(JSON.stringify(status()))),
  );
}

/** A site's status, or why it did not answer. */
export async function askStatus(bus: Bus, site: SiteName): Promise<SiteStatus | UnreachableSite> {
  try {
    const subject = controlSubject(site, "status");
    const answer = await bus.request(subject, new Uint8Array(0), STATUS_TIMEOUT_MS);
    return decode(answer, site);
  } catch (error) {
    if (!(error instanceof IsthmusError)) throw error;
    const why = error.code === ErrorCode.PeerUnreachable ? NOBODY : error.message;
    return { site, state: "unreachable", reason: `${error.code} ${why}` };
  }
}

const NOBODY =
  "no answer: no active process runs there, or the link between the sites' NATS servers is down";

function decode(answer: Uint8Array, site: SiteName): SiteStatus {
  try {
    const text = gunzipSync(answer, { maxOutputLength: STATUS_BYTES_MAX }).toString("utf8");
    const found = JSON.parse(text) as Partial<SiteStatus>;
    if (found.site === site && Array.isArray(found.problems)) return found as SiteStatus;
  } catch (cause) {
    throw unreadable(site, cause);
  }
  throw unreadable(site, undefined);
}

const unreadable = (site: SiteName, cause: unknown): IsthmusError =>
  new IsthmusError(ErrorCode.PeerMessageInvalid, `the status of ${site} cannot be read`, {
    hint: "run the same version of Isthmus at every site",
    cause,
  });
