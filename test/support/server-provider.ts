import { afterAll, beforeAll } from "vitest";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { InfinispanServerOptions } from "../../deploy/lab/infinispan-server.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import type { NatsServerOptions } from "../../deploy/lab/nats-server.ts";

/** Where fixtures get their real servers from, so that a test does not know how they are run. */
export interface ServerProvider {
  nats(options: NatsServerOptions): Promise<NatsServer>;
  infinispan(options: InfinispanServerOptions): Promise<InfinispanServer>;
}

/** Processes of this machine. */
export const servers: ServerProvider = {
  nats: (options) => NatsServer.start(options),
  infinispan: (options) => InfinispanServer.start(options),
};

/** How long a shared server may take to start: two Infinispan nodes on a busy machine. */
const SHARED_START_MS_MAX = 240_000;

/** Starts something once for a test file and disposes of it after the last test; call at the file's top, read inside tests. */
export function shared<T extends AsyncDisposable>(start: () => Promise<T>): () => T {
  let instance: T | undefined;
  beforeAll(async () => {
    instance = await start();
  }, SHARED_START_MS_MAX);
  afterAll(async () => {
    await instance?.[Symbol.asyncDispose]();
  }, SHARED_START_MS_MAX);
  return () => {
    if (instance === undefined) throw new Error("a shared instance is there only inside tests");
    return instance;
  };
}
