import { connect } from "nats";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";
import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { NatsServer } from "../../deploy/lab/nats-server.ts";

describe("a real nats-server", () => {
  it("keeps what it acknowledged over kill -9, on the same ports", async () => {
    await using server = await NatsServer.start({ domain: "nyc" });
    const before = await connect({ servers: server.url, reconnect: false });
    const manager = await jetstreamManager(before);
    await manager.streams.add({ name: "LOG", subjects: ["log.>"] });
    const ack = await jetstream(before).publish("log.a", new Uint8Array([0, 0xff, 7]));
    expect(ack.domain).toBe("nyc");
    await server.kill();
    expect(server.process.alive).toBe(false);
    await server.run();
    const after = await connect({ servers: server.url });
    const stored = await (await jetstreamManager(after)).streams.getMessage("LOG", { seq: 1 });
    expect(stored?.data).toEqual(new Uint8Array([0, 0xff, 7]));
    await after.close();
  });

  it("links two domains, so that one site reaches the other's JetStream", async () => {
    await using nyc = await NatsServer.start({ domain: "nyc" });
    await using lon = await NatsServer.start({ domain: "lon", leafRemotes: [nyc.leafUrl] });
    const client = await connect({ servers: lon.url });
    const across = async () => jetstreamManager(client, { domain: "nyc", timeout: 1000 });
    await expect
      .poll(
        async () =>
          across().then(
            (manager) => manager.getAccountInfo(),
            () => undefined,
          ),
        {
          timeout: 10_000,
        },
      )
      .toMatchObject({ domain: "nyc" });
    await client.close();
  });

  it("removes its folder and ends its process when disposed", async () => {
    const server = await NatsServer.start({ domain: "tmp" });
    const { folder, process } = server;
    await server[Symbol.asyncDispose]();
    expect(process.alive).toBe(false);
    expect(existsSync(folder)).toBe(false);
  });

  it("reports a configuration that it refuses with the end of its log", async () => {
    await expect(NatsServer.start({ domain: "bad", config: "no_such_key: 1 {" })).rejects.toThrow(
      /^nats-server bad ended while it started; its log ends:\nnats-server: Parse error/,
    );
  });
});
