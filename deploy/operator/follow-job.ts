import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { CONTROL_TIMEOUT_MS, JOB_LOOK_MS } from "../../topology/limits.ts";
import type { SiteName } from "../../topology/names.ts";
import type { Bus, Clock } from "../../topology/ports.ts";
import type { JobView } from "../../gateway/control/jobs.ts";
import { askVerb } from "../../gateway/control/operator-channel.ts";

/** Questions to the sites, and the time between them. */
export interface Asker {
  readonly bus: Bus;
  readonly clock: Clock;
}

/** Looks that may fail in a row before a job is given up: a link that is down for a moment ends no job. */
const SILENT_LOOKS_MAX = 4;

/**
 * Starts a job at a site by one of its verbs, and resolves with what it found.
 *
 * @throws what the site refused, PeerUnreachable, JobFailed
 */
export async function followJob<T>(
  { bus, clock }: Asker,
  { site, verb, question }: { site: SiteName; verb: string; question: object },
  onProgress: (progress: Readonly<Record<string, number>>) => void,
): Promise<T> {
  const { job: id } = (await askVerb(bus, site, verb, question, CONTROL_TIMEOUT_MS)) as {
    job: number;
  };
  for (let silent = 0; ;) {
    await clock.sleep(JOB_LOOK_MS);
    let job: JobView;
    try {
      job = (await askVerb(bus, site, "job", { id }, CONTROL_TIMEOUT_MS)) as JobView;
      silent = 0;
    } catch (error) {
      const isAway = error instanceof IsthmusError && error.code === ErrorCode.PeerUnreachable;
      silent += 1;
      if (!isAway || silent >= SILENT_LOOKS_MAX) throw error;
      continue;
    }
    onProgress(job.progress);
    if (job.state === "done") return job.result as T;
    if (job.error !== null) {
      const code = job.error.code === null ? "" : `${job.error.code} `;
      throw new IsthmusError(
        ErrorCode.JobFailed,
        `${verb} at ${site}: ${code}${job.error.message}`,
      );
    }
  }
}
