import { assert } from "../../errors.ts";
import type { MergeFunction, MergeInput } from "../../version/show.ts";
import type { SchemaField } from "../protobuf/schema.ts";
import { integerOf, lastOf, withField, type WireField } from "../protobuf/wire.ts";
import { rewrapped, unwrapped, type WrappedMessage } from "../protobuf/wrapped-message.ts";
import {
  byAge,
  compare,
  greatest,
  KEYCLOAK_SCHEMA,
  longest,
  requiredField,
  requiredMessage,
  type SchemaMerge,
} from "./schema-merge.ts";

/** One site's count of a user's failed logins. */
interface Count extends MergeInput, WrappedMessage {
  readonly failures: bigint;
  /** ms since the epoch, in Keycloak's clock; 0 once a login cleared the count. */
  readonly lastFailure: bigint;
}

type Counts = readonly [Count, ...Count[]];

/**
 * Failed logins of one user that were counted at several sites. Each number becomes the highest that one site has by itself,
 * and what is over does not count: so nobody is locked earlier than at a site that had seen all these failures itself. Adding
 * would double-count what both have seen. The rules one by one, and why: deploy/docs/policies.md.
 *
 * Source of what Keycloak does with the fields: DefaultBruteForceProtector and LoginFailureEntity of Keycloak 26.7.3.
 */
export const loginFailure: SchemaMerge = {
  schemaFile: KEYCLOAK_SCHEMA,
  bind(schema): MergeFunction {
    const message = requiredMessage(schema, "keycloak.LoginFailureEntity");
    const failures = requiredField(message, "numFailures");
    const lastFailure = requiredField(message, "lastFailure");
    const locks = [
      failures,
      message.field("failedLoginNotBefore"),
      message.field("numTemporaryLockouts"),
    ].filter((field) => field !== undefined);
    // Younger than the others: a schema may not have it.
    const secondary = message.field("numSecondaryAuthFailures");
    const read = (input: MergeInput): Count => {
      const wrapped = unwrapped(input.value, message);
      return {
        ...input,
        ...wrapped,
        failures: numberIn(wrapped, failures),
        lastFailure: numberIn(wrapped, lastFailure),
      };
    };
    return (values) => {
      const all = values.map(read).sort(byAge);
      const present = all.filter((count) => !isOver(count, all));
      const counted = present.slice(present.findLastIndex(isCleared) + 1);
      const [newest] = present.toSorted((x, y) => byAge(y, x));
      assert(newest, "login failures without one that is not over");
      const shown: Counts = isFilled(counted) ? counted : [newest];
      const base = greatest(shown, (x, y) => compare(x.lastFailure, y.lastFailure) || byAge(x, y));
      let fields = base.fields;
      for (const field of locks) fields = withHighest(fields, shown, field);
      if (secondary !== undefined) fields = withHighest(fields, present, secondary);
      return {
        value: rewrapped(base, fields),
        expiry: longest(shown.map(({ expiry }) => expiry)),
      };
    };
  },
};

/** A login succeeded: Keycloak writes an empty count rather than removing it, so it competes by time as a remove does. */
function isCleared({ failures, lastFailure }: Count): boolean {
  return failures === 0n && lastFailure === 0n;
}

/**
 * Its time was over when the newest failure happened: Keycloak lets a count expire when the realm's reset time has passed
 * since its last failure, and starts again at one.
 */
function isOver({ expiry, lastFailure }: Count, all: readonly Count[]): boolean {
  if (expiry.expiresAt === 0) return false;
  const others = all.filter((other) => other.lastFailure > lastFailure);
  return others.some((other) => expiry.expiresAt <= Number(other.lastFailure));
}

/** The fields with the highest number that one of `counts` has there, as that one has it. */
function withHighest(
  fields: readonly WireField[],
  counts: readonly Count[],
  field: SchemaField,
): readonly WireField[] {
  let best: { readonly number: bigint; readonly as: WireField | undefined } = {
    number: numberIn({ fields }, field),
    as: undefined,
  };
  for (const count of counts) {
    const number = numberIn(count, field);
    if (number > best.number) best = { number, as: lastOf(count.fields, field.number) };
  }
  return best.as === undefined ? fields : withField(fields, best.as);
}

function numberIn({ fields }: Pick<WrappedMessage, "fields">, field: SchemaField): bigint {
  return integerOf(lastOf(fields, field.number), field.type);
}

function isFilled<T>(items: readonly T[]): items is readonly [T, ...T[]] {
  return items.length > 0;
}
