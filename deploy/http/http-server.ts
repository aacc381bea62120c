import { fastify, type FastifyInstance, type FastifyReply } from "fastify";
import { formatAddress, type Address } from "../../topology/config/config.ts";
import { ErrorCode, IsthmusError } from "../../topology/errors.ts";
import { HTTP_CLOSE_MS_MAX, HTTP_REQUEST_MS_MAX } from "../../topology/limits.ts";
import type { Clock, Logger } from "../../topology/ports.ts";
import { balancerAnswer, readiness, type Answer } from "../status/readiness.ts";
import type { SiteStatus } from "../status/site-status.ts";
import { Metrics } from "./metrics.ts";

/** What {@link HttpServer} needs. */
export interface HttpServerParts {
  readonly listen: Address;
  readonly status: () => SiteStatus;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * The site's HTTP endpoints: metrics, health, the balancer's question, status. Nothing here changes anything, and every
 * answer comes from memory: none waits for a cache, for NATS or for a peer.
 */
export class HttpServer {
  readonly #parts: HttpServerParts;
  readonly #app: FastifyInstance;

  constructor(parts: HttpServerParts) {
    this.#parts = parts;
    this.#app = fastify({
      logger: false,
      bodyLimit: 1024,
      requestTimeout: HTTP_REQUEST_MS_MAX,
      forceCloseConnections: "idle",
    });
    this.#routes();
  }

  /** Listens; resolves with the port. @throws HttpListen */
  async start(): Promise<number> {
    const { listen, logger } = this.#parts;
    try {
      await this.#app.listen({ host: listen.host, port: listen.port });
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      throw new IsthmusError(
        ErrorCode.HttpListen,
        `cannot listen for HTTP on ${formatAddress(listen)}: ${reason}`,
        { hint: "free the port, or change sites.SITE.http.listen", cause },
      );
    }
    const address = this.#app.server.address();
    const port = typeof address === "object" ? (address?.port ?? listen.port) : listen.port;
    logger.info(
      { host: listen.host, port },
      "HTTP listens: /metrics, /health, /lb-check, /api/v1/status",
    );
    return port;
  }

  /** Takes no new requests, lets those at work end, then cuts the rest. */
  async close(): Promise<void> {
    const cancel = this.#parts.clock.after(HTTP_CLOSE_MS_MAX, () =>
      this.#app.server.closeAllConnections(),
    );
    await this.#app.close();
    cancel();
  }

  #routes(): void {
    const { status, logger } = this.#parts;
    const metrics = new Metrics(status);
    const app = this.#app;
    app.addHook("onSend", async (_request, reply) => {
      reply.header("cache-control", "no-store");
    });
    app.get("/metrics", async (_request, reply) => {
      const text = await metrics.text();
      return reply.type(metrics.contentType).send(text);
    });
    app.get("/health/live", async () => ({ status: "UP" }));
    app.get("/health/ready", async (_request, reply) => say(reply, readiness(status())));
    app.get("/lb-check", async (_request, reply) => say(reply, balancerAnswer(status())));
    app.get("/api/v1/status", async () => status());
    app.setNotFoundHandler(async ({ method, url }, reply) =>
      reply.code(404).send({ error: `nothing is at ${method} ${url}` }),
    );
    app.setErrorHandler(async (error, _request, reply) => {
      const { statusCode = 500 } = error as { statusCode?: number };
      if (statusCode >= 500) logger.error({ err: error }, "an HTTP request failed");
      const what = error instanceof Error ? error.message : String(error);
      return reply.code(statusCode).send({ error: what });
    });
  }
}

const say = (reply: FastifyReply, { ok, reasons }: Answer): FastifyReply =>
  reply.code(ok ? 200 : 503).send({ status: ok ? "UP" : "DOWN", reasons });
