import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { EmbeddedServer } from "../../../site-agent/connector/embedded/embedded-server.ts";
import { decodeEagerEvent } from "../../../topology/hotrod/eager-event.ts";
import { FrameDecoder } from "../../../topology/hotrod/frame.ts";
import { OCTET_STREAM } from "../../../topology/hotrod/media-type.ts";
import type {
  EntryMetadata,
  HotRodRequest,
  HotRodResponse,
  RequestContext,
} from "../../../topology/hotrod/messages.ts";
import { decodeRequest } from "../../../topology/hotrod/request.ts";
import { decodeResponse } from "../../../topology/hotrod/response.ts";
import { vectorFrames } from "../../support/golden-frames.ts";
import { ManualClock, SeededRandom, silentLogger } from "../../support/manual-clock.ts";
import { EmbeddedClient } from "./embedded-client.ts";

// Goal: an embedded cache answers as Infinispan 16.0.7 did. Method: the recorded requests are sent again, in order, on one
// connection; what comes back is compared with the recording, but for what is random (tokens), of the moment (times) or
// Infinispan's own business (the order in which it walks its entries, its topology).

interface Step {
  readonly name: string;
  readonly request: HotRodRequest;
  readonly recorded: HotRodResponse[];
}

function recordedSteps(): Step[] {
  const requests = new Map<number, RequestContext>();
  const steps: Step[] = [];
  for (const { from, bytes, step: name } of vectorFrames()) {
    if (from === "client") {
      new FrameDecoder(decodeRequest).push(bytes, ({ message }) => {
        const request = message as HotRodRequest;
        requests.set(request.header.id, { op: request.op, ...request.header });
        steps.push({ name, request, recorded: [] });
      });
    } else {
      const decode = new FrameDecoder((r) => decodeResponse(r, (id) => requests.get(id)));
      decode.push(bytes, ({ message }) => steps.at(-1)?.recorded.push(message as HotRodResponse));
    }
  }
  return steps;
}

/** Without token and time of writing; a token of -1 says that there was nothing. */
function plainMetadata(metadata: EntryMetadata): object {
  const { createdMs, lifespanSeconds, maxIdleSeconds, entryVersion } = metadata;
  return {
    isMortal: createdMs !== undefined,
    lifespanSeconds,
    maxIdleSeconds,
    isNothing: entryVersion === -1n,
  };
}

function comparable(message: HotRodResponse): object {
  // oxlint-disable-next-line typescript/switch-exhaustiveness-check -- the others are compared as they are
  switch (message.op) {
    case "created":
    case "modified":
    case "removed":
    case "expired": {
      const { data, custom, entryVersion, ...rest } = message;
      const eager = custom === 0 ? { key: data, value: undefined } : decodeEagerEvent(data);
      const hasToken = custom === 0 ? entryVersion !== undefined : "token" in eager && eager.token;
      return { ...rest, custom, key: eager.key, value: eager.value, hasToken: Boolean(hasToken) };
    }
    case "getWithMetadata": {
      const { entry, ...rest } = message;
      return { ...rest, entry: entry && { ...entry, metadata: plainMetadata(entry.metadata) } };
    }
    case "put":
    case "putIfAbsent":
    case "replace":
    case "remove": {
      const { previous, ...rest } = message;
      const metadata = previous?.metadata && plainMetadata(previous.metadata);
      return { ...rest, previous: previous && { ...previous, metadata } };
    }
    default:
      return message;
  }
}

/** All events of each listener, in its order; where an operation touches many keys, that order is not promised. */
function eventsByListener(messages: readonly HotRodResponse[], sorted: boolean): object {
  const all: Record<string, string[]> = {};
  for (const message of messages) {
    if (!("listenerId" in message)) continue;
    (all[message.listenerId.toString("hex")] ??= []).push(JSON.stringify(comparable(message)));
  }
  if (sorted) for (const list of Object.values(all)) list.sort();
  return all;
}

const answerOf = (messages: readonly HotRodResponse[]): HotRodResponse => {
  const answer = messages.find((message) => !("listenerId" in message));
  if (answer === undefined) throw new Error("no answer");
  return answer;
};

describe("an embedded cache, asked what Infinispan was asked", () => {
  const clock = new ManualClock();
  const server = new EmbeddedServer({
    listen: { host: "127.0.0.1", port: 0 },
    caches: [{ name: "bin", keyMediaType: OCTET_STREAM, valueMediaType: OCTET_STREAM }],
    clock,
    random: new SeededRandom(),
    logger: silentLogger,
  });
  const steps = recordedSteps();
  const replayed = new Map<Step, HotRodResponse[]>();

  beforeAll(async () => {
    const { port } = await server.start();
    const client = await EmbeddedClient.connect(port, "bin");
    for (const step of steps) {
      if (step.name.startsWith("GET expired")) clock.advance(300);
      // Between the recorded start and next the recording client had started another iteration, whose id it then used.
      const { header } = step.request;
      if (step.name === "ITER_NEXT") {
        await client.exchange({
          op: "iterationStart",
          header: { ...header, id: 19 },
          segments: undefined,
          filterConverter: undefined,
          batchSize: 2,
          includeMetadata: true,
        });
      }
      replayed.set(step, await client.exchange(step.request));
    }
    client.socket.destroy();
  });
  afterAll(() => server.stop());

  const iterations = steps.filter(({ name }) => name.startsWith("ITER_NEXT"));
  const pings = steps.filter(({ request }) => request.op === "ping");
  const exact = steps.filter((step) => !iterations.includes(step) && !pings.includes(step));

  it("has all steps of the recording", () => {
    expect(steps.length).toBe(34);
    expect(exact.length).toBe(30);
  });

  it.each(exact)("answers the same to: $name", (step) => {
    const ours = comparable(answerOf(replayed.get(step) ?? []));
    expect(ours).toEqual(comparable(answerOf(step.recorded)));
  });

  it.each(exact)("raises the same events for: $name", (step) => {
    const sorted = step.request.op === "clear" || step.request.op === "putAll";
    const ours = eventsByListener(replayed.get(step) ?? [], sorted);
    expect(ours).toEqual(eventsByListener(step.recorded, sorted));
  });

  it.each(exact)("puts the events on the same side of the answer for: $name", (step) => {
    const sides = (all: readonly HotRodResponse[]) =>
      all.map((message) => ("listenerId" in message ? "event" : "answer"));
    expect(sides(replayed.get(step) ?? [])).toEqual(sides(step.recorded));
  });

  it("iterates over the same entries with the same metadata, and knows when an iteration is over", () => {
    const entries = (all: readonly HotRodResponse[]) =>
      all
        .flatMap((message) => (message.op === "iterationNext" ? message.entries : []))
        .map(({ key, values, metadata }) =>
          JSON.stringify([key, values, metadata && plainMetadata(metadata)]),
        )
        .toSorted();
    const ours = iterations.flatMap((step) => replayed.get(step) ?? []);
    expect(entries(ours)).toEqual(entries(iterations.flatMap((step) => step.recorded)));
    expect(ours.map((message) => message.header.status)).toEqual([0, 0, 5]);
  });

  it("tells the same media types and protocol version, without a topology", () => {
    const [ours] = pings.flatMap((step) => replayed.get(step) ?? []);
    const [theirs] = pings.flatMap((step) => step.recorded);
    if (ours?.op !== "ping" || theirs?.op !== "ping") throw new Error("no ping");
    expect(ours.keyMediaType).toEqual(theirs.keyMediaType);
    expect(ours.valueMediaType).toEqual(theirs.valueMediaType);
    expect(ours.server?.version).toBe(theirs.server?.version);
    expect(theirs.server?.opcodes).toEqual(
      expect.arrayContaining([...(ours.server?.opcodes ?? [])]),
    );
    expect(ours.header.topology).toBeUndefined();
  });
});
