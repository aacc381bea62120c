import { assert } from "../../errors.ts";
import type { SchemaMessage } from "./schema.ts";
import {
  bytesOf,
  fieldsOf,
  integerOf,
  lastOf,
  messageOf,
  withField,
  withPayload,
  type WireField,
} from "./wire.ts";

/** Field numbers of ProtoStream's WrappedMessage, which every value of application/x-protostream is. Source: message-wrapping.proto. */
const STRING = 9;
const TYPE_NAME = 16;
const MESSAGE = 17;
const TYPE_ID = 19;

/** A message inside of its wrapper, both as fields. */
export interface WrappedMessage {
  readonly value: Uint8Array;
  readonly wrapper: readonly WireField[];
  readonly fields: readonly WireField[];
}

/** @throws Error when the value is not one of that message, or no WrappedMessage at all */
export function unwrapped(value: Uint8Array, expected: SchemaMessage): WrappedMessage {
  const wrapper = fieldsOf(value);
  const [id, name] = [lastOf(wrapper, TYPE_ID), lastOf(wrapper, TYPE_NAME)];
  const isExpected =
    id === undefined
      ? name !== undefined && Buffer.from(bytesOf(name)).toString() === expected.name
      : Number(integerOf(id, "uint32")) === expected.typeId;
  const message = lastOf(wrapper, MESSAGE);
  if (!isExpected || message === undefined) {
    throw new Error(`the value is no ${expected.name} (TypeId ${expected.typeId ?? "unknown"})`);
  }
  return { value, wrapper, fields: fieldsOf(bytesOf(message)) };
}

/** The value with these fields in its message; the value itself, byte for byte, if they are the ones that it has. */
export function rewrapped(
  { value, wrapper }: WrappedMessage,
  fields: readonly WireField[],
): Uint8Array {
  const bytes = messageOf(fields);
  const message = lastOf(wrapper, MESSAGE);
  assert(message !== undefined, "a wrapped message without a message");
  if (bytes.equals(message.payload)) return value;
  return messageOf(withField(wrapper, withPayload(message, bytes)));
}

/** The text of a string in application/x-protostream. @throws Error when it is none */
export function protostreamString(value: Uint8Array): string {
  const text = lastOf(fieldsOf(value), STRING);
  if (text === undefined) throw new Error("the value is no string of application/x-protostream");
  return Buffer.from(bytesOf(text)).toString("utf8");
}
