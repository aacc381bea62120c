import { afterAll } from "vitest";
import { killRunning } from "../../deploy/lab/server-process.ts";

// A fixture whose start failed half-way leaves servers behind: they would slow every later file, and outlive the run.
afterAll(async () => {
  const left = await killRunning();
  if (left > 0) console.warn(`killed ${left} server processes that the test file had left running`);
});
