import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { askBasic } from "../../../site-agent/front-door/basic-intelligence.ts";
import { requestDecoder } from "../../../topology/hotrod/frame.ts";
import { Flag, Intelligence } from "../../../topology/hotrod/opcodes.ts";
import { encodeRequest } from "../../../topology/hotrod/request.ts";
import { OPS, requestArbitrary, VERSIONS } from "../../support/hot-rod-arbitrary.ts";

const anyRequest = fc
  .tuple(fc.constantFrom(...OPS), fc.constantFrom(...VERSIONS))
  .chain(([op, version]) => requestArbitrary(op, version));

describe("a request whose client is to stay", () => {
  it("asks for no topology, is heard by listeners, and is otherwise the same", () => {
    fc.assert(
      fc.property(anyRequest, fc.boolean(), (request, isHeard) => {
        const raw = encodeRequest(request);
        const before = Buffer.from(raw);
        askBasic(raw, isHeard);
        const flags = isHeard
          ? request.header.flags & ~Flag.SkipListenerNotification
          : request.header.flags;
        const header = { ...request.header, intelligence: Intelligence.Basic, flags };
        const found: unknown[] = [];
        requestDecoder().push(raw, ({ message }) => found.push(message));
        expect(found).toEqual([{ ...request, header }]);
        const changed = [...raw].filter((byte, i) => byte !== before[i]);
        expect(changed.length).toBeLessThanOrEqual(2);
      }),
    );
  });
});
