import { describe, expect, it } from "vitest";
import { IMMORTAL } from "../../../topology/hotrod/expiration.ts";
import type { HotRodRequest, HotRodResponse } from "../../../topology/hotrod/messages.ts";
import type { RequestOp } from "../../../topology/hotrod/opcodes.ts";
import { requestHeader } from "../../../topology/hotrod/request.ts";
import {
  mayHaveChanged,
  PutStreams,
  saysDone,
  writeEffect,
} from "../../../topology/hotrod/write-effect.ts";
import { OPS } from "../../support/hot-rod-arbitrary.ts";

const header = requestHeader({ id: 1, cache: "sessions" });
const [key, value] = [Buffer.from("k"), Buffer.from("value")];
const request = (op: RequestOp, body: object = {}): HotRodRequest =>
  ({ op, header, ...body }) as unknown as HotRodRequest;
const xid = { format: 1, transaction: Buffer.from([2]), branch: Buffer.from([3]) };
const write = { key, value, expiration: IMMORTAL, entryVersion: 1n, xid };

/** As `QueryRequest` in protobuf: field 1 is the text. */
const query = (text: string): HotRodRequest =>
  request("query", {
    query: Buffer.concat([
      Buffer.from([0x0a, text.length]),
      Buffer.from(text),
      Buffer.from([0x30, 0]),
    ]),
  });

describe("what a request changes", () => {
  it.each(["put", "putIfAbsent", "replace", "replaceIfUnmodified"] as const)(
    "is its key, of a %s",
    (op) => {
      expect(writeEffect(request(op, write))).toEqual({ keys: [key], valueBytes: 5 });
    },
  );

  it.each([
    ["remove", 0, false],
    ["remove", 1, true],
    ["removeIfUnmodified", 0, true],
  ] as const)(
    "is its key, of a %s with flags %i, and a use of it if the answer tells who removed it: %s",
    (op, flags, isUse) => {
      const asked = { ...request(op, write), header: { ...header, flags } } as HotRodRequest;
      expect(writeEffect(asked)).toEqual({ keys: [key], valueBytes: 0, isUse });
    },
  );

  it("is every key of a putAll, and all chunks of a stream count as one value", () => {
    const entries = [
      { key, value },
      { key: Buffer.from("other"), value: Buffer.alloc(9) },
    ];
    expect(writeEffect(request("putAll", { entries }))).toEqual({
      keys: [key, Buffer.from("other")],
      valueBytes: 9,
    });
    const chunks = [Buffer.alloc(4), Buffer.alloc(3)];
    expect(writeEffect(request("putStream", { ...write, chunks }))).toEqual({
      keys: [key],
      valueBytes: 7,
    });
  });

  it("is not told by name of those that change keys that they do not name", () => {
    const unnamed: RequestOp[] = [
      "clear",
      "multimapPut",
      "multimapRemoveKey",
      "multimapRemoveEntry",
      "prepareTx",
      "prepareTx2",
      "commitTx",
    ];
    for (const op of unnamed) expect(writeEffect(request(op, write))?.keys).toBeUndefined();
    for (const op of unnamed) expect(writeEffect(request(op, write))).toBeDefined();
  });

  it("is committed with the transaction that it prepares, which the commit names too", () => {
    const prepared = writeEffect(request("prepareTx2", write))?.prepares;
    expect(prepared).toBe("1:02:03");
    expect(writeEffect(request("prepareTx", write))?.prepares).toBe(prepared);
    expect(writeEffect(request("commitTx", write))?.commits).toBe(prepared);
  });

  it("is nothing of all other operations", () => {
    const writes = OPS.filter((op) => {
      const body = {
        ...write,
        entries: [],
        chunks: [],
        query: Buffer.from([0x0a, 0]),
        task: "@@x",
      };
      return writeEffect(request(op, body)) !== undefined;
    });
    expect(writes).toEqual([
      "put",
      "putIfAbsent",
      "replace",
      "replaceIfUnmodified",
      "remove",
      "removeIfUnmodified",
      "clear",
      "putAll",
      "putStream",
      "prepareTx",
      "commitTx",
      "multimapPut",
      "multimapRemoveKey",
      "multimapRemoveEntry",
      "prepareTx2",
    ]);
  });

  it.each([
    ["DELETE FROM keycloak.RootAuthenticationSessionEntity WHERE realmId IN (:p0)", true],
    ["  delete from x", true],
    ["\n\tdelete from x", true],
    ["FROM keycloak.LoginFailureEntity as e WHERE e.realmId = :realmId", false],
    ["SELECT x FROM deleted", false],
    [`DELETE FROM ${"x".repeat(100)}`, true],
  ])("is some keys of a query that deletes: %s", (text, deletes) => {
    expect(writeEffect(query(text)) !== undefined).toBe(deletes);
    const json = request("query", { query: Buffer.from(JSON.stringify({ query: text })) });
    expect(writeEffect(json) !== undefined).toBe(deletes);
  });

  it("may be anything of a query that cannot be read, and of a script", () => {
    const twoTexts = Buffer.from('{"query":"from x","queryString":"delete from x"}').toString(
      "hex",
    );
    for (const bytes of ["", "ff00", "7b7d", "7b", twoTexts])
      expect(writeEffect(request("query", { query: Buffer.from(bytes, "hex") }))).toBeDefined();
    expect(writeEffect(request("exec", { task: "my-script" }))).toBeDefined();
    expect(writeEffect(request("exec", { task: "@@cache@getorcreate" }))).toBeUndefined();
  });

  it("is known at the last part of a value that travels in parts, with all its bytes", () => {
    const streams = new PutStreams();
    streams.started(7, key);
    const part = (last: boolean, chunk: string) =>
      streams.effect(request("nextPutStream", { streamId: 7, last, chunk: Buffer.from(chunk) }));
    expect(part(false, "abc")).toBeUndefined();
    expect(part(true, "de")).toEqual({ keys: [key], valueBytes: 5 });
    expect(streams.size).toBe(0);
    expect(part(true, "unknown")).toEqual({ keys: undefined, valueBytes: 0 });
    streams.started(8, key);
    streams.effect(request("endPutStream", { streamId: 8 }));
    expect(streams.size).toBe(0);
  });
});

describe("an answer", () => {
  const answer = (status: number, op = "put"): HotRodResponse =>
    ({ op, header: { id: 1, status, topology: undefined } }) as unknown as HotRodResponse;

  it("says that the write was done by its status alone, an error never", () => {
    for (const status of [0x00, 0x03, 0x06, 0x07]) expect(saysDone(answer(status))).toBe(true);
    for (const status of [0x01, 0x02, 0x04, 0x05, 0x08])
      expect(saysDone(answer(status))).toBe(false);
    expect(saysDone(answer(0x85, "error"))).toBe(false);
  });

  it("may have changed something where a remove finds nothing: only this site may have no copy", () => {
    expect(mayHaveChanged(answer(0x00))).toBe(true);
    expect([mayHaveChanged(answer(0x02)), mayHaveChanged(answer(0x02, "remove"))]).toEqual([
      false,
      true,
    ]);
    expect(mayHaveChanged(answer(0x85, "error"))).toBe(false);
  });
});
