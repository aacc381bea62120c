import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { LEASE_WRITE_TIMEOUT_MS } from "../../topology/limits.ts";
import { siteBucket } from "../../topology/names.ts";
import type { LeaseStore } from "../../topology/ports.ts";
import { AckedPublisher, RefusedError } from "./acked-publisher.ts";
import type { NatsLink } from "./connect.ts";
import { ApiErrorCode } from "./nats-error.ts";
import { lastRecord } from "./site-log.ts";

/**
 * {@link LeaseStore}: key `lease` in the key-value bucket `isthmus_SITE`.
 *
 * It reads from the leader and checks who confirmed a write, which the client's KV does not do; `nats kv get` reads it.
 */
export class NatsLeaseStore implements LeaseStore {
  readonly #link: NatsLink;
  readonly #stream: string;
  readonly #subject: string;
  readonly #publisher: AckedPublisher;

  /** The bucket must exist: {@link openLeaseStore}. */
  constructor(link: NatsLink) {
    const bucket = siteBucket(link.settings.site);
    this.#link = link;
    this.#stream = `KV_${bucket}`;
    this.#subject = `$KV.${bucket}.lease`;
    this.#publisher = new AckedPublisher(link, this.#stream);
  }

  async read(): Promise<{ value: Uint8Array; revision: number } | undefined> {
    const found = await this.#link.api(`read the lease in ${this.#stream}`, (manager) =>
      lastRecord(manager, this.#stream, this.#subject),
    );
    return found === undefined ? undefined : { value: found.payload, revision: found.seq };
  }

  async write(value: Uint8Array, expectedRevision: number): Promise<number | undefined> {
    try {
      const expected = { lastSubjectSeq: expectedRevision };
      const attempt = { timeoutMs: LEASE_WRITE_TIMEOUT_MS };
      return (await this.#publisher.publish(this.#subject, value, expected, attempt)).seq;
    } catch (error) {
      const lost = error instanceof RefusedError && error.number === ApiErrorCode.WrongLastSequence;
      if (lost) return undefined;
      if (error instanceof IsthmusError && error.code === ErrorCode.LogMissing)
        throw await this.#whyNobodyListens(error);
      throw error;
    }
  }

  /**
   * Nobody listens on the subject of a bucket that is gone, but neither while JetStream is off: it turns itself off when its
   * disk is full. The first is for good, the second passes.
   */
  async #whyNobodyListens(cause: IsthmusError): Promise<unknown> {
    try {
      if ((await this.read()) === undefined) return cause;
    } catch (error) {
      return error;
    }
    return new IsthmusError(ErrorCode.NatsUnreachable, cause.message, { cause });
  }
}

/** Makes the site's bucket if there is none. @throws NatsUnreachable */
export async function openLeaseStore(link: NatsLink, replicas: number): Promise<NatsLeaseStore> {
  const bucket = siteBucket(link.settings.site);
  const options = { history: 1, replicas, allow_direct: false };
  await link.api(`open the bucket ${bucket}`, () =>
    new Kvm(jetstream(link.nc)).create(bucket, options),
  );
  return new NatsLeaseStore(link);
}
