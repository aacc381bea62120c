import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { JOBS_KEPT_MAX, JOBS_RUNNING_MAX } from "../../topology/limits.ts";

/** How a job stands, as a command asks for it. */
export interface JobView {
  readonly id: number;
  readonly state: "running" | "done" | "failed";
  /** Counts of what was done so far. */
  readonly progress: Readonly<Record<string, number>>;
  /** What it found; null while it runs, and if it failed. */
  readonly result: object | null;
  /** Why it failed; null: it did not. */
  readonly error: { readonly code: string | null; readonly message: string } | null;
}

/** The work of one job; it says how far it is through `progress`. */
export type JobWork = (progress: Record<string, number>, signal: AbortSignal) => Promise<object>;

interface Job {
  readonly progress: Record<string, number>;
  state: JobView["state"];
  result: object | null;
  error: JobView["error"];
}

/** Work of operators that takes longer than an answer may: started by one question, looked after by others. Bounded (I12). */
export class Jobs {
  readonly #jobs = new Map<number, Job>();
  readonly #ending = new AbortController();
  #last = 0;

  /** Resolves never: the job runs on. @throws PeerRefused when too many run */
  start(work: JobWork): number {
    const running = [...this.#jobs.values()].filter(({ state }) => state === "running").length;
    if (running >= JOBS_RUNNING_MAX) {
      throw new IsthmusError(
        ErrorCode.PeerRefused,
        `${running} jobs of operators run here already, at most ${JOBS_RUNNING_MAX} may`,
        { hint: "Try again when one has ended." },
      );
    }
    const id = ++this.#last;
    const job: Job = { progress: {}, state: "running", result: null, error: null };
    this.#jobs.set(id, job);
    this.#forgetOld();
    void this.#run(job, work);
    return id;
  }

  /** @throws PeerRefused if there is no such job, or not any more */
  view(id: number): JobView {
    const job = this.#jobs.get(id);
    if (job === undefined) {
      throw new IsthmusError(
        ErrorCode.PeerRefused,
        `there is no job ${id} here: the process was started anew, or it ended long ago`,
        { hint: "Run the command again: what was done is not done twice." },
      );
    }
    const { progress, state, result, error } = job;
    return { id, state, progress: { ...progress }, result, error };
  }

  /** Ends what runs. */
  stop(): void {
    this.#ending.abort(new Error("the process stops"));
  }

  async #run(job: Job, work: JobWork): Promise<void> {
    try {
      job.result = await work(job.progress, this.#ending.signal);
      job.state = "done";
    } catch (error) {
      const code = error instanceof IsthmusError ? error.code : null;
      const message = error instanceof Error ? error.message : String(error);
      job.error = { code, message };
      job.state = "failed";
    }
  }

  /** The oldest that have ended go. */
  #forgetOld(): void {
    for (const [id, { state }] of this.#jobs) {
      if (this.#jobs.size <= JOBS_KEPT_MAX) return;
      if (state !== "running") this.#jobs.delete(id);
    }
  }
}
