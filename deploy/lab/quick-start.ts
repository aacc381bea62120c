import { existsSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { InfinispanServer } from "./infinispan-server.ts";
import { which } from "./which.ts";

/** Less optimized code, but sooner: for servers that live for seconds. */
const COMPILE_LITTLE = "-XX:TieredStopAtLevel=1";

/** An archive is written by then, in ms: it takes 7 s on two idle cores. */
const WRITTEN_MS_MAX = 120_000;

/**
 * Java's options with which an Infinispan is ready in a quarter of the time: classes come loaded and verified from an archive,
 * which Java writes when a server that loaded them ends. It is made on first use, beside the jars; a Java that it does not fit
 * starts without it.
 */
export async function quickStart(): Promise<readonly string[]> {
  const home = dirname(dirname(await which("infinispan")));
  const archive = join(home, "classes.jsa");
  if (!existsSync(archive)) await writeArchive(home, archive);
  const isThere = existsSync(archive);
  return [COMPILE_LITTLE, ...(isThere ? [`-XX:SharedArchiveFile=${archive}`] : [])];
}

async function writeArchive(home: string, archive: string): Promise<void> {
  const folder = mkdtempSync(join(home, "archive-"));
  const scratch = join(folder, "classes.jsa");
  try {
    const server = await InfinispanServer.start({
      name: "archive",
      caches: { archive: {} },
      folder: join(folder, "server"),
      java: [`-XX:ArchiveClassesAtExit=${scratch}`],
    });
    await server.process.stop(WRITTEN_MS_MAX);
    if (existsSync(scratch)) renameSync(scratch, archive);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
