import { decodeEagerEvent, EAGER_CONVERTER } from "../../topology/hotrod/eager-event.ts";
import { Interest } from "../../topology/hotrod/opcodes.ts";
import type { ValueHash } from "../../topology/version/entry.ts";
import type { CacheEvent, CacheListener } from "../../topology/ports.ts";
import type { HotRodConnection, RequestScope } from "./connection.ts";

/** What a listener is made of. */
export interface ListenerOptions {
  /** The listener's own: nothing else may travel on it, and it is closed with the listener. */
  readonly connection: HotRodConnection;
  /** The cache, with its storage media types. */
  readonly scope: RequestScope;
  /** 16 random bytes: listeners share one table in the server. */
  readonly id: Buffer;
  readonly hash: (value: Uint8Array) => ValueHash;
  readonly onEvent: (event: CacheEvent) => void;
}

/**
 * Registers a listener for every kind of event, with key, value and token in each.
 *
 * The socket is always read: a listener 100 events behind would hold up every writer of the cache, so events go straight to
 * `onEvent`, which must not block.
 * @throws what {@link HotRodConnection.request} throws; the connection is closed then
 */
export async function addListener(options: ListenerOptions): Promise<CacheListener> {
  const { connection, scope, id, hash, onEvent } = options;
  let closing = false;
  connection.onEvents(id, scope.cache, (event) => {
    const { key, value, token } = decodeEagerEvent(event.data);
    onEvent({
      key: key.toString("latin1"),
      cause: event.op,
      token,
      hash: value === undefined ? undefined : hash(value),
      retried: event.retried,
    });
  });
  try {
    await connection.request("addClientListener", scope, {
      listenerId: id,
      includeState: false,
      filter: undefined,
      converter: { name: EAGER_CONVERTER, params: [] },
      useRawData: true,
      interests: Interest.Created | Interest.Modified | Interest.Removed | Interest.Expired,
    });
  } catch (error) {
    connection.close();
    throw error;
  }
  const lost = async (): Promise<string> => {
    const reason = await connection.closed;
    return closing ? new Promise<never>(() => undefined) : reason.message;
  };
  return {
    lost: lost(),
    // Events are on their way before the write is answered that caused them, and this answer comes behind them.
    async flushed() {
      await connection.request("ping", { cache: scope.cache }, {});
    },
    async close() {
      closing = true;
      await connection
        .request("removeClientListener", scope, { listenerId: id })
        .catch(() => undefined);
      connection.close();
    },
  };
}
