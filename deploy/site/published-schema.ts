import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { SchemaMerge } from "../../topology/policy/keycloak/schema-merge.ts";
import { ProtobufSchema } from "../../topology/policy/protobuf/schema.ts";
import { SCHEMA_LOOK_MS } from "../../topology/limits.ts";
import type { CacheSite, Clock, Logger } from "../../topology/ports.ts";
import type { MergeFunction } from "../../topology/version/show.ts";

/** What a {@link PublishedSchema} needs of its site. */
export interface SchemaPorts {
  readonly cacheSite: CacheSite;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A schema as the application publishes it in the site's own Infinispan, and the merges that decode with it. It is read when a
 * cache is opened, and again whenever a merge fails: the application may have published it, or another one, since.
 */
export class PublishedSchema {
  readonly #file: string;
  #ports: SchemaPorts | undefined;
  #text: string | undefined;
  #schema: ProtobufSchema | undefined;
  #reading: Promise<void> | undefined;
  /** On the monotonic clock, ms. */
  #lookedAt = 0;
  /** What was told last, so that it is told once. */
  #told = "";

  constructor(file: string) {
    this.#file = file;
  }

  /** The merge by the schema of the moment. It throws MergeFailed while there is none, or a value does not fit it. */
  merge(name: string, merge: SchemaMerge): MergeFunction {
    let bound: { readonly schema: ProtobufSchema; readonly run: MergeFunction } | undefined;
    return (values) => {
      try {
        const schema = this.#known();
        if (bound?.schema !== schema) bound = { schema, run: merge.bind(schema) };
        return bound.run(values);
      } catch (cause) {
        this.#lookAgain();
        throw new IsthmusError(
          ErrorCode.MergeFailed,
          `the merge ${name} cannot: ${reason(cause)}`,
          {
            hint: 'nothing is lost or altered; see "When a merge fails" in deploy/docs/policies.md',
            cause,
          },
        );
      }
    };
  }

  /** Reads what is published at the site, here and when a merge fails. What was read before stays if that cannot be read. */
  read(ports: SchemaPorts): Promise<void> {
    this.#ports = ports;
    return this.#look(ports);
  }

  #known(): ProtobufSchema {
    if (this.#schema !== undefined) return this.#schema;
    throw new Error(`no schema ${this.#file} is published in this site's Infinispan`);
  }

  /** However many merges fail, and however often each is tried. */
  #lookAgain(): void {
    const ports = this.#ports;
    if (ports === undefined || ports.clock.monotonic() - this.#lookedAt < SCHEMA_LOOK_MS) return;
    void this.#look(ports);
  }

  /** One look at a time. Never rejects. */
  #look(ports: SchemaPorts): Promise<void> {
    this.#lookedAt = ports.clock.monotonic();
    this.#reading ??= this.#readFrom(ports).finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #readFrom({ cacheSite, logger }: SchemaPorts): Promise<void> {
    const file = this.#file;
    const warn = (message: string, err?: unknown): void => {
      if (this.#told !== message) logger.warn({ file, err }, message);
      this.#told = message;
    };
    try {
      const text = await cacheSite.protobufSchema(file);
      if (text === undefined) {
        warn("no such schema is published here: merges that need it fail until it is");
        return;
      }
      this.#told = "";
      if (text === this.#text) return;
      this.#schema = ProtobufSchema.parse(text);
      this.#text = text;
      logger.info({ file }, "read the schema that merges decode with");
    } catch (error) {
      warn("the schema that merges decode with cannot be read", error);
    }
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
