import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { decodeBatch } from "../../topology/mutation/batch.ts";
import type { ApplyOutcome } from "../../topology/ports.ts";
import type { Key } from "../../topology/version/entry.ts";
import { acceptBatch } from "./accept.ts";
import { arrivalOf, type ReceiverParts } from "./receiver.ts";

/** What became of one mutation of a dead letter. */
export interface Retried {
  readonly key: Key;
  readonly outcome: ApplyOutcome;
}

/** Applies dead letters of one cache of one origin again, by the rules for what arrives now. Moves no position. */
export class DeadLetterRetry {
  readonly #parts: Pick<ReceiverParts, "site" | "origin" | "hands" | "receiving" | "offsetMs">;

  constructor(parts: Pick<ReceiverParts, "site" | "origin" | "hands" | "receiving" | "offsetMs">) {
    this.#parts = parts;
  }

  /**
   * Idempotent: a failure may leave part of a batch applied.
   *
   * @throws WireMalformed, WireVersionUnknown (it still cannot be decoded), OperationRefused, and what the cache throws
   */
  async retry(payload: Uint8Array): Promise<readonly Retried[]> {
    const { hands, receiving, site, origin, offsetMs } = this.#parts;
    // Its values are views: they go into the ledger and the cache at their own time.
    const batch = decodeBatch(Uint8Array.from(payload));
    const acceptance = acceptBatch(batch, receiving());
    if (acceptance.is !== "apply" || hands === undefined) {
      const why = "why" in acceptance ? acceptance.why : "off";
      throw new IsthmusError(
        ErrorCode.OperationRefused,
        `${site} does not apply what ${origin} wrote to ${batch.header.cache}: ${why}`,
      );
    }
    const offset = batch.header.offsets.get(site) ?? offsetMs();
    const retried: Retried[] = [];
    const { voidUpTo = 0n } = receiving();
    for (const mutation of batch.mutations) {
      if (mutation.dot <= voidUpTo) {
        retried.push({ key: mutation.key, outcome: "covered" });
        continue;
      }
      const outcome = await hands.apply(mutation.key, [arrivalOf(mutation, origin, offset)]);
      retried.push({ key: mutation.key, outcome });
    }
    return retried;
  }
}
