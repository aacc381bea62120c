import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { acceptBatch, type Receiving } from "../../../gateway/receive/accept.ts";
import type { Batch, BatchHeader } from "../../../topology/mutation/batch.ts";

const HERE: Receiving = {
  origin: "nyc",
  cache: "sessions",
  mode: "async",
  isTarget: true,
  policyHash: "p1",
  originPolicyHash: "p1",
  mediaType: "text/plain",
};

const HEADER: BatchHeader = {
  origin: "nyc",
  cache: "sessions",
  epoch: 1,
  term: 1,
  incarnation: "i",
  counter: 1,
  policyHash: "p1",
  mode: "async",
  offsets: new Map(),
  mediaType: "text/plain",
  held: false,
};

const accept = (header: Partial<BatchHeader>, here: Partial<Receiving>) => {
  const batch: Batch = { kind: "batch", header: { ...HEADER, ...header }, mutations: [] };
  return acceptBatch(batch, { ...HERE, ...here });
};

describe("a batch that arrives", () => {
  it.each([
    ["of the agreed cache", {}, {}, "apply"],
    ["in each replicating mode", {}, { mode: "invalidate" }, "apply"],
    ["of a cache that is off here", {}, { mode: "off" }, "pass"],
    ["of a cache that this site is no target of", {}, { isTarget: false }, "pass"],
    ["of a cache that is paused here", {}, { isPaused: true }, "pause"],
    ["of a site that has to be re-seeded", {}, { refusal: "away too long" }, "block"],
    ["of a local cache, paused or not", {}, { isPaused: true, mode: "never" }, "refuse"],
    ["of a cache that is local here", {}, { mode: "never" }, "refuse"],
    ["of another cache than its subject's", { cache: "users" }, {}, "refuse"],
    ["of another author than the log's owner", { origin: "lon" }, {}, "refuse"],
    ["under another conflict policy", { policyHash: "p2" }, { originPolicyHash: "p2" }, "block"],
    [
      "under a policy nobody announced",
      { policyHash: "p2" },
      { originPolicyHash: undefined },
      "block",
    ],
    ["from before the origin's policy was corrected", { policyHash: "p0" }, {}, "apply"],
    ["before the cache is open", {}, { mediaType: undefined }, "block"],
    ["of another media type", { mediaType: "application/json" }, {}, "block"],
    [
      "of an off cache under another policy",
      { policyHash: "p2" },
      { mode: "off", policyHash: "" },
      "pass",
    ],
  ] as const)("%s is handled so: %o, %o: %s", (_name, header, here, expected) => {
    expect(accept(header, here).is).toBe(expected);
  });

  it("of a local cache is refused whatever it claims, before anything else is asked (I9)", () => {
    const text = fc.constantFrom("p1", "p2", "");
    fc.assert(
      fc.property(text, text, fc.boolean(), fc.boolean(), (sent, ours, isTarget, isOpen) => {
        const mediaType = isOpen ? "text/plain" : undefined;
        const here = { mode: "never", policyHash: ours, isTarget, mediaType } as const;
        expect(accept({ policyHash: sent }, here).is).toBe("refuse");
      }),
    );
  });

  it("is named with its origin and its cache when it is refused or blocked", () => {
    const answers = [
      accept({}, { mode: "never" }),
      accept({ policyHash: "p2" }, { originPolicyHash: "p2" }),
      accept({ mediaType: "application/json" }, {}),
    ];
    for (const answer of answers) {
      expect("why" in answer && answer.why).toContain("nyc");
      expect("why" in answer && answer.why).toContain("sessions");
    }
  });
});
