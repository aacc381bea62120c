import { describe, expect, it } from "vitest";
import { FrontDoor } from "../../../site-agent/front-door/front-door.ts";
import type { WriteHolds } from "../../../site-agent/front-door/write-holds.ts";
import { encodeResponse } from "../../../topology/hotrod/response.ts";
import { DOOR_REQUESTS_MAX } from "../../../topology/limits.ts";
import { MemoryLogger, realClock } from "../../support/real-time.ts";
import { answerTo, ScriptedHotRod } from "../../support/scripted-hot-rod.ts";
import { EmbeddedClient } from "../embedded/embedded-client.ts";

const NOBODY_WAITS: WriteHolds = {
  replicates: () => false,
  use: () => undefined,
  begin: () => undefined,
};
const LOCAL = { host: "127.0.0.1", port: 0 };

describe("a client with as many requests open as it may", () => {
  it("is read again when the last answers, which filled its buffer, have left it", async () => {
    await using server = await ScriptedHotRod.start();
    const parts = { clock: realClock, logger: new MemoryLogger(), holds: NOBODY_WAITS };
    const door = new FrontDoor({
      ...parts,
      listen: LOCAL,
      servers: [{ ...LOCAL, port: server.port }],
    });
    const client = await EmbeddedClient.connect((await door.start()).port, "free");
    server.script = (_request, { requests, socket }) => {
      if (requests.length < DOOR_REQUESTS_MAX) return;
      // All at once, as a server does that was busy.
      const answers = requests.splice(0).map((request) =>
        encodeResponse({
          op: "get",
          header: answerTo(request),
          value: Buffer.alloc(2),
        }),
      );
      socket.write(Buffer.concat(answers));
    };
    const key = Buffer.from("k");
    for (let round = 0; round < 5; round++) {
      const frames = Array.from({ length: DOOR_REQUESTS_MAX }, () =>
        client.frame(client.request("get", { key })),
      );
      client.socket.write(Buffer.concat(frames));
      await expect.poll(() => client.received, { interval: 1 }).toBe(DOOR_REQUESTS_MAX);
      expect(await client.drain()).toHaveLength(DOOR_REQUESTS_MAX);
    }
    client.socket.destroy();
    await door.stop();
  });
});
