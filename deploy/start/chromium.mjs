// Finds the Chromium with which a drill logs in to Keycloak as people do.
import { Missing, onPath } from "./ground.mjs";

/** As whichever name it is installed. */
const NAMES = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome"];

/** The path of a Chromium. Throws Missing("chromium"). */
export async function chromium() {
  const found = NAMES.map(onPath).find((path) => path !== undefined);
  if (found !== undefined) return found;
  throw new Missing(
    "chromium",
    "no chromium found. Put one on PATH, or install it (Debian: apt-get install chromium)",
  );
}
