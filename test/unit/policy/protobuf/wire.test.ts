import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ProtobufSchema } from "../../../../topology/policy/protobuf/schema.ts";
import {
  bytesOf,
  fieldsOf,
  integerOf,
  lastOf,
  messageOf,
  withField,
  withPayload,
} from "../../../../topology/policy/protobuf/wire.ts";
import { protostreamString } from "../../../../topology/policy/protobuf/wrapped-message.ts";
import { field, KEYCLOAK_SCHEMA_TEXT, varint } from "../../../support/keycloak-values.ts";

describe("a message's fields", () => {
  it("are all of its bytes, whatever they mean", () => {
    const any = fc.oneof(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.uint8Array());
    const fields = fc.array(fc.tuple(fc.integer({ min: 1, max: 2 ** 29 - 1 }), any));
    fc.assert(
      fc.property(fields, (all) => {
        const message = Buffer.concat(all.map(([number, value]) => field(number, value)));
        const read = fieldsOf(message);
        expect(read.map(({ number }) => number)).toEqual(all.map(([number]) => number));
        expect(messageOf(read)).toEqual(message);
      }),
    );
  });

  it("of random bytes are those bytes, or an error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          expect(messageOf(fieldsOf(bytes))).toEqual(Buffer.from(bytes));
        } catch (error) {
          if (!/range|wire type|illegal tag|varint|invalid|depth/.test(String(error))) throw error;
        }
      }),
    );
  });

  it("include groups and fixed numbers", () => {
    const message = Buffer.from("0d010203041102030405060708091b08011c", "hex");
    expect(fieldsOf(message).map(({ wireType, raw }) => [wireType, raw.length])).toEqual([
      [5, 5],
      [1, 9],
      [3, 4],
    ]);
  });

  it.each([
    ["int32", -1n, -1n],
    ["int64", -5n, -5n],
    ["int64", 1_795_251_888_725n, 1_795_251_888_725n],
    ["uint64", 2n ** 64n - 1n, 2n ** 64n - 1n],
    ["uint32", 2n ** 32n - 1n, 2n ** 32n - 1n],
  ])("of type %s read %s as %s", (type, written, read) => {
    expect(integerOf(fieldsOf(field(3, written))[0], type)).toBe(read);
  });

  it("are zero where there is none, and an error where the type is another", () => {
    expect(integerOf(undefined, "int32")).toBe(0n);
    expect(() => integerOf(fieldsOf(field(3, "a"))[0], "int32")).toThrow("wire type 2");
    expect(() => integerOf(fieldsOf(field(3, 1n))[0], "string")).toThrow("of type string");
    expect(() => integerOf(fieldsOf(field(3, 1n))[0], "constructor")).toThrow("of type");
  });

  it("are replaced in their place, all of one number by one", () => {
    const [a, b, c, d] = fieldsOf(
      Buffer.concat([field(1, 1), field(2, "x"), field(1, 2), field(3, 3)]),
    );
    if (!a || !b || !c || !d) throw new Error("four fields");
    expect(lastOf([a, b, c], 1)).toBe(c);
    expect(withField([b, a, d, c], c)).toEqual([b, c, d]);
    expect(withField([b], c)).toEqual([b, c]);
    const long = withPayload(b, Buffer.alloc(300));
    expect(Buffer.from(long.raw)).toEqual(field(2, Buffer.alloc(300)));
    expect(bytesOf(long)).toHaveLength(300);
  });
});

describe("a schema", () => {
  it("tells numbers, types and ProtoStream's ids by name", () => {
    const schema = ProtobufSchema.parse(KEYCLOAK_SCHEMA_TEXT);
    const root = schema.message("keycloak.RootAuthenticationSessionEntity");
    expect(root?.typeId).toBe(65_600);
    expect(root?.field("timestamp")).toMatchObject({ number: 3, type: "int32", isMap: false });
    const tabs = root?.field("authenticationSessions");
    expect(tabs).toMatchObject({ number: 4, isMap: true });
    expect(tabs?.message?.name).toBe("keycloak.AuthenticationSessionEntity");
    expect([schema.message("keycloak.None"), root?.field("none")]).toEqual([undefined, undefined]);
    expect(() => ProtobufSchema.parse("message {")).toThrow();
  });

  it("comes as a string of application/x-protostream", () => {
    expect(protostreamString(field(9, KEYCLOAK_SCHEMA_TEXT))).toBe(KEYCLOAK_SCHEMA_TEXT);
    expect(() => protostreamString(varint(8n))).toThrow();
    expect(() => protostreamString(field(17, "x"))).toThrow("no string");
  });
});
