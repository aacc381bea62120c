import { describe, expect, it } from "vitest";
import { acceptBatch } from "../../../gateway/receive/accept.ts";
import type { Receiving } from "../../../gateway/receive/accept.ts";
import type { Batch } from "../../../topology/mutation/batch.ts";

const MEDIA_TYPE = "application/x-protostream";
const batch: Batch = {
  kind: "batch",
  header: {
    origin: "nyc",
    cache: "sessions",
    epoch: 1,
    term: 1,
    incarnation: "i",
    counter: 1,
    policyHash: "ours",
    mode: "async",
    offsets: new Map(),
    mediaType: MEDIA_TYPE,
    held: false,
  },
  mutations: [],
};
const here: Receiving = {
  origin: "nyc",
  cache: "sessions",
  mode: "async",
  isTarget: true,
  policyHash: "ours",
  originPolicyHash: undefined,
  mediaType: MEDIA_TYPE,
};
const by = (policyHash: string): Batch => ({ ...batch, header: { ...batch.header, policyHash } });

describe("a batch that arrives", () => {
  it("is applied when its author decides conflicts as this site does", () => {
    expect(acceptBatch(batch, here)).toEqual({ is: "apply" });
  });

  it("waits while its author decides by another policy, and comes in once the author's site has ours", () => {
    const other = by("another");
    expect(acceptBatch(other, here)).toMatchObject({ is: "block" });
    expect(acceptBatch(other, { ...here, originPolicyHash: "another" })).toMatchObject({
      is: "block",
    });
    expect(acceptBatch(other, { ...here, originPolicyHash: "ours" })).toEqual({ is: "apply" });
  });

  it("waits until the cache is open here, and while it stores another media type", () => {
    expect(acceptBatch(batch, { ...here, mediaType: undefined })).toMatchObject({ is: "block" });
    expect(acceptBatch(batch, { ...here, mediaType: "text/plain" })).toMatchObject({ is: "block" });
  });

  it("is passed over where the cache is off or not meant for this site, and refused for a local cache (I9)", () => {
    expect(acceptBatch(batch, { ...here, mode: "off" })).toEqual({ is: "pass", why: "off" });
    expect(acceptBatch(batch, { ...here, isTarget: false })).toMatchObject({ is: "pass" });
    expect(acceptBatch(batch, { ...here, mode: "never" })).toMatchObject({ is: "refuse" });
    expect(acceptBatch(batch, { ...here, origin: "lon" })).toMatchObject({ is: "refuse" });
  });
});
