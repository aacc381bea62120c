import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { Status } from "../../topology/hotrod/opcodes.ts";
import type { Key } from "../../topology/version/entry.ts";
import type { CacheState } from "../../topology/ports.ts";
import type { HotRodConnection, RequestScope } from "./connection.ts";
import { entryState } from "./entry-state.ts";

/** One entry that a scan found. */
export interface Scanned {
  readonly key: Key;
  readonly state: CacheState;
}

/**
 * Iterates a cache with metadata, on one connection, over all servers' entries. Ends early, without an error, when `signal`
 * aborts. The server's iteration is always ended.
 * @throws IsthmusError CacheUnreachable, HotRodTimeout, HotRodServer: then begin again
 */
export async function* scan(
  connection: HotRodConnection,
  scope: RequestScope,
  batchSize: number,
  signal: AbortSignal,
): AsyncGenerator<Scanned[]> {
  const { iterationId } = await connection.request("iterationStart", scope, {
    segments: undefined,
    filterConverter: undefined,
    batchSize,
    includeMetadata: true,
  });
  try {
    while (!signal.aborted) {
      const batch = await connection.request("iterationNext", scope, { iterationId });
      if (batch.header.status === Status.InvalidIteration)
        throw new IsthmusError(
          ErrorCode.HotRodServer,
          `scan of cache "${scope.cache}" at ${connection.address}: the server lost the iteration`,
          { hint: "it is begun again" },
        );
      if (batch.entries.length === 0) return;
      yield batch.entries.map(({ key, metadata, values }) => ({
        key: key.toString("latin1"),
        state: entryState(metadata ?? NO_METADATA, values[0] ?? NO_VALUE),
      }));
    }
  } finally {
    // The connection may be gone, and the iteration with it.
    await connection.request("iterationEnd", scope, { iterationId }).catch(() => undefined);
  }
}

const NO_VALUE = Buffer.alloc(0);
const NO_METADATA = {
  createdMs: undefined,
  lifespanSeconds: undefined,
  lastUsedMs: undefined,
  maxIdleSeconds: undefined,
  entryVersion: 0n,
};
