import { afterAll, beforeAll } from "vitest";
import { InfinispanServer } from "../../deploy/lab/infinispan-server.ts";
import type { InfinispanServerOptions } from "../../deploy/lab/infinispan-server.ts";
import { NatsServer } from "../../deploy/lab/nats-server.ts";
import type { NatsServerOptions } from "../../deploy/lab/nats-server.ts";

/** A real server that runs, however it is run. */
export interface RunningServer extends AsyncDisposable {
  readonly port: number;
  /** Ends it as a crash would. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same ports and the same files. */
  run(): Promise<void>;
}

/** A nats-server that runs. */
export interface RunningNats extends RunningServer {
  readonly url: string;
  readonly leafUrl: string;
}

/** An Infinispan server that runs. */
export interface RunningInfinispan extends RunningServer {
  /** `host:port` of Hot Rod and REST. */
  readonly address: string;
}

/** Where tests get their real servers from, so that they do not know how they are run. */
export interface ServerProvider {
  nats(options: NatsServerOptions): Promise<RunningNats>;
  infinispan(options: InfinispanServerOptions): Promise<RunningInfinispan>;
}

/** Processes of this machine; tests that send signals or read logs name this provider. */
export const servers = {
  nats: (options: NatsServerOptions) => NatsServer.start(options),
  infinispan: (options: InfinispanServerOptions) => InfinispanServer.start(options),
} satisfies ServerProvider;

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
