import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { endProcess, isRunning } from "../lab/detached-process.ts";
import type { LabSiteName } from "../lab/lab-file.ts";
import type { Lab } from "../lab/lab.ts";

/** An Infinispan that is not ready by then hangs, in ms; most are after 10 s. */
const HUNG_START_MS = 60_000;
/** So often it is started again. */
const HUNG_STARTS_MAX = 2;
/** A JVM has written its threads by then, in ms. */
const THREAD_DUMP_MS = 2_000;

/**
 * Starts a site's Infinispan that was killed or stopped, and resolves once it is ready, with how often it hung at its start:
 * 16.0.7 does so now and then when clients ask it meanwhile. Then its threads are in its log, and it is killed and started
 * again, as a liveness probe would do it. With `fromNothing` it has forgotten its caches too, not only what was in them.
 */
export async function startCache(
  lab: Lab,
  at: LabSiteName,
  fromNothing: boolean,
  signal: AbortSignal,
): Promise<number> {
  for (let hung = 0; ; hung++) {
    const data = join(lab.folder.path, at, "infinispan", "data");
    if (fromNothing) rmSync(data, { recursive: true, force: true });
    const late = AbortSignal.timeout(hung < HUNG_STARTS_MAX ? HUNG_START_MS : 2 ** 31 - 1);
    try {
      await lab.start("infinispan", at, AbortSignal.any([signal, late]));
      return hung;
    } catch (error) {
      const part = lab.part("infinispan", at);
      if (signal.aborted || !late.aborted || !(await isRunning(part))) throw error;
      process.kill(part.pid, "SIGQUIT");
      await sleep(THREAD_DUMP_MS);
      await endProcess(part, 0, "SIGKILL");
    }
  }
}
