import { encodeEagerEvent, EAGER_CONVERTER } from "../../../topology/hotrod/eager-event.ts";
import { PROTOSTREAM } from "../../../topology/hotrod/media-type.ts";
import type { CacheEvent, RequestOf } from "../../../topology/hotrod/messages.ts";
import { Interest, Status } from "../../../topology/hotrod/opcodes.ts";
import { encodeResponse } from "../../../topology/hotrod/response.ts";
import { Writer } from "../../../topology/hotrod/writer.ts";
import type { EmbeddedCache, EntryEvent } from "./embedded-cache.ts";
import { OperationError } from "./operation-error.ts";

const INTEREST = {
  created: Interest.Created,
  modified: Interest.Modified,
  removed: Interest.Removed,
  expired: Interest.Expired,
} as const;

const ALL = Interest.Created | Interest.Modified | Interest.Removed | Interest.Expired;

/** What a near cache wants to know: everything but creations. */
const NEAR_CACHE = Interest.Modified | Interest.Removed | Interest.Expired;

/** The tag of bytes in ProtoStream's WrappedMessage: field 10, length-delimited. */
const WRAPPED_BYTES_TAG = 0x52;

/** Takes the frames of one connection's events. */
export type SendEvent = (event: Buffer) => void;

/** The listeners of all connections. They are known by their id alone; a client that lost its connection adds them again on another. */
export class Listeners {
  readonly #byId = new Map<string, { readonly send: SendEvent; readonly end: () => void }>();

  /**
   * Adds the listener that the request describes, and sends it the state if it wants that: before the answer, which the
   * caller sends. It takes the place of the one with its id.
   * @throws OperationError if a factory is not known
   */
  add(cache: EmbeddedCache, request: RequestOf<"addClientListener">, send: SendEvent): void {
    const { filter, converter, listenerId } = request;
    if (filter !== undefined) throw missingFactory("filter", filter.name);
    if (converter !== undefined && converter.name !== EAGER_CONVERTER) {
      throw missingFactory("converter", converter.name);
    }
    const id = listenerId.toString("latin1");
    const encode = eventEncoder(cache, request);
    const interests = request.interests === 0 ? ALL : request.interests;
    this.#end(id);
    if (request.includeState) {
      for (const entry of cache.entries()) {
        send(encode({ op: "created", key: entry.key, entry }, request.header.id));
      }
    }
    const end = cache.subscribe((event) => {
      if ((interests & INTEREST[event.op]) !== 0) send(encode(event, 0));
    });
    this.#byId.set(id, { send, end });
  }

  /** Adds a near cache's listener. It may ask to hear only of keys in its filter; hearing of all is correct, too. */
  addNearCache(
    cache: EmbeddedCache,
    request: RequestOf<"addBloomNearCacheListener">,
    send: SendEvent,
  ): void {
    const { header, listenerId } = request;
    const plain = { includeState: false, filter: undefined, converter: undefined };
    const listener = { ...plain, useRawData: false, interests: NEAR_CACHE };
    this.add(cache, { op: "addClientListener", header, listenerId, ...listener }, send);
  }

  /** Ends a listener; false if there is none. */
  remove(listenerId: Buffer): boolean {
    return this.#end(listenerId.toString("latin1"));
  }

  /** Ends the listeners of a connection that is gone. */
  removeAllOf(send: SendEvent): void {
    for (const [id, listener] of this.#byId) if (listener.send === send) this.#end(id);
  }

  #end(id: string): boolean {
    this.#byId.get(id)?.end();
    return this.#byId.delete(id);
  }
}

function missingFactory(kind: string, name: string): OperationError {
  return new OperationError(
    Status.ServerError,
    "org.infinispan.server.hotrod.MissingFactoryException: ISPN006013: Listener " +
      `${kind} factory '${name}' not found in server`,
  );
}

/** Makes the frames of one listener's events. */
function eventEncoder(
  cache: EmbeddedCache,
  request: RequestOf<"addClientListener">,
): (event: EntryEvent, id: number) => Buffer {
  const { listenerId, converter, useRawData } = request;
  // The connection's buffer that holds the request is not to be kept.
  const own = Buffer.from(listenerId);
  const isConverted = converter !== undefined;
  const tellsRemoved = isConverted && converter.params.length > 0;
  const wraps = isConverted && !useRawData && cache.valueMediaType.id === PROTOSTREAM.id;
  const custom = !isConverted ? 0 : useRawData ? 2 : 1;
  return ({ op, key, entry }, id) => {
    const isThere = op === "created" || op === "modified";
    let data = key;
    if (isConverted) {
      // Infinispan 16.0 tells the value of an expired entry always, that of a removed one if any parameter was given.
      const told = op === "removed" && !tellsRemoved ? undefined : entry;
      data = encodeEagerEvent({ key, value: told?.value, token: told?.token });
      if (wraps) data = wrapBytes(data);
    }
    const event: CacheEvent = {
      op,
      header: { id, status: Status.Ok, topology: undefined },
      listenerId: own,
      custom,
      retried: false,
      data,
      entryVersion: isThere && !isConverted ? entry?.token : undefined,
    };
    return encodeResponse(event);
  };
}

/** A converter's bytes as ProtoStream marshals them. */
function wrapBytes(bytes: Buffer): Buffer {
  const w = new Writer();
  w.u8(WRAPPED_BYTES_TAG);
  w.bytes(bytes);
  return w.finish();
}
