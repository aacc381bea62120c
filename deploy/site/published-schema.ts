import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import type { SchemaMerge } from "../../topology/policy/keycloak/schema-merge.ts";
import { ProtobufSchema } from "../../topology/policy/protobuf/schema.ts";
import type { CacheSite, Logger } from "../../topology/ports.ts";
import type { MergeFunction } from "../../topology/version/show.ts";

/**
 * A schema as the application publishes it in the site's own Infinispan, and the merges that decode with it. It is read when a
 * cache is opened, and again whenever a merge fails: the application may have published it, or another one, since.
 */
export class PublishedSchema {
  readonly #file: string;
  #from: { readonly cacheSite: CacheSite; readonly logger: Logger } | undefined;
  #text: string | undefined;
  #schema: ProtobufSchema | undefined;
  #reading: Promise<void> | undefined;

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
        void this.#lookAgain();
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

  /** Reads what is published at `cacheSite`, here and when a merge fails. What was read before stays if that cannot be read. */
  read(cacheSite: CacheSite, logger: Logger): Promise<void> {
    this.#from = { cacheSite, logger };
    return this.#lookAgain();
  }

  #known(): ProtobufSchema {
    if (this.#schema !== undefined) return this.#schema;
    throw new Error(`no schema ${this.#file} is published in this site's Infinispan`);
  }

  /** One look at a time, however many merges fail. Never rejects. */
  #lookAgain(): Promise<void> {
    this.#reading ??= this.#look().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  async #look(): Promise<void> {
    if (this.#from === undefined) return;
    const { cacheSite, logger } = this.#from;
    const file = this.#file;
    try {
      const text = await cacheSite.protobufSchema(file);
      if (text === this.#text && text !== undefined) return;
      if (text === undefined) {
        logger.warn(
          { file },
          "no such schema is published here: merges that need it fail until it is",
        );
        return;
      }
      this.#schema = ProtobufSchema.parse(text);
      this.#text = text;
      logger.info({ file }, "read the published schema that merges decode with");
    } catch (error) {
      logger.warn(
        { err: error, file },
        "the published schema that merges decode with cannot be read",
      );
    }
  }
}

function reason(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
