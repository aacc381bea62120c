import { mediaTypeOf } from "../../../topology/hotrod/media-type.ts";
import type { RequestOf } from "../../../topology/hotrod/messages.ts";
import { Status } from "../../../topology/hotrod/opcodes.ts";
import type { Clock, Random } from "../../../topology/ports.ts";
import { EmbeddedCache } from "./embedded-cache.ts";
import type { EmbeddedCacheOptions } from "./embedded-cache.ts";
import { OperationError } from "./operation-error.ts";

const NOTHING = Buffer.alloc(0);

/** The caches of one embedded server, by name. */
export class Caches {
  readonly #byName = new Map<string, EmbeddedCache>();
  readonly #createMissing: boolean;
  readonly #clock: Clock;
  readonly #random: Random;

  constructor(
    declared: readonly EmbeddedCacheOptions[],
    createMissing: boolean,
    clock: Clock,
    random: Random,
  ) {
    this.#createMissing = createMissing;
    this.#clock = clock;
    this.#random = random;
    for (const options of declared) this.#create(options);
  }

  /** The cache of that name. @throws OperationError that a Java client takes for a cache that does not exist */
  get(name: string): EmbeddedCache {
    const cache = this.#byName.get(name);
    if (cache !== undefined) return cache;
    if (this.#createMissing && name !== "") return this.#create({ name });
    throw new OperationError(
      Status.ParseError,
      "org.infinispan.server.hotrod.CacheNotFoundException: Cache with name " +
        `'${name}' not found amongst the configured caches`,
    );
  }

  /** The cache of that name, if there is one. */
  find(name: string): EmbeddedCache | undefined {
    return this.#byName.get(name);
  }

  /** Every cache. */
  all(): Iterable<EmbeddedCache> {
    return this.#byName.values();
  }

  /** Does one of the administrative tasks that clients create caches with. @throws OperationError for any other */
  execute({ task, taskParams }: RequestOf<"exec">): Buffer {
    const param = (wanted: string): string =>
      taskParams.find(({ name }) => name === wanted)?.value.toString("utf8") ?? "";
    const name = param("name");
    switch (task) {
      case "@@cache@getorcreate":
        if (!this.#byName.has(name)) this.#createAs(name, param("configuration"));
        return NOTHING;
      case "@@cache@create":
        if (this.#byName.has(name)) {
          throw new OperationError(Status.ServerError, `ISPN000507: Cache ${name} already exists`);
        }
        this.#createAs(name, param("configuration"));
        return NOTHING;
      case "@@cache@remove":
        this.#byName.delete(name);
        return NOTHING;
      case "@@cache@names":
        return Buffer.from(JSON.stringify([...this.#byName.keys()]));
      default:
        throw new OperationError(
          Status.ServerError,
          `the embedded cache does not know the task '${task}'`,
        );
    }
  }

  /** Of a configuration, in whatever language, only the media type is heeded. */
  #createAs(name: string, configuration: string): void {
    if (name === "") throw new OperationError(Status.ServerError, "a cache needs a name");
    const mediaType = /media-?type["']?\s*[:=]\s*["']?([\w.+-]+\/[\w.+-]+)/i.exec(
      configuration,
    )?.[1];
    const type = mediaType === undefined ? undefined : mediaTypeOf(mediaType);
    this.#create(
      type === undefined ? { name } : { name, keyMediaType: type, valueMediaType: type },
    );
  }

  #create(options: EmbeddedCacheOptions): EmbeddedCache {
    const cache = new EmbeddedCache(options, this.#clock, this.#random);
    this.#byName.set(options.name, cache);
    return cache;
  }
}
