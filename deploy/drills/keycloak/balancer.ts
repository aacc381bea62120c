import { once } from "node:events";
import { createServer, request as forward } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { KeycloakSite } from "./keycloak-site.ts";
import { REDIRECT } from "./login-flow.ts";

/**
 * A proxy on 127.0.0.1 for a browser, and the browser's way to everywhere: what is for Keycloak's public address goes to the sites
 * in turn, as a balancer without stickiness sends it, and the application that people come back to says only that they are there.
 */
export class Balancer implements AsyncDisposable {
  readonly #server: Server;
  readonly #sites: readonly KeycloakSite[];
  readonly #came = new Map<string, number>();
  #next = 0;

  private constructor(sites: readonly KeycloakSite[]) {
    this.#sites = sites;
    this.#server = createServer((request, response) => this.#serve(request, response));
  }

  /** Listens on a free port. */
  static async start(sites: readonly KeycloakSite[]): Promise<Balancer> {
    const balancer = new Balancer(sites);
    balancer.#server.listen(0, "127.0.0.1");
    await once(balancer.#server, "listening");
    return balancer;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** How many requests came to a site. */
  came({ name }: KeycloakSite): number {
    return this.#came.get(name) ?? 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => void this.#server.close(() => resolve()));
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? "", REDIRECT);
    if (url.href.startsWith(REDIRECT)) {
      response.writeHead(200, { "Content-Type": "text/html" }).end("<title>back</title>");
      return;
    }
    const site = this.#sites[this.#next++ % this.#sites.length];
    if (site === undefined || url.origin !== new URL(site.publicUrl).origin) {
      response.writeHead(404).end();
      return;
    }
    this.#came.set(site.name, this.came(site) + 1);
    const { method, headers } = request;
    const onward = forward(site.at(url), { method: method ?? "GET", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    request.pipe(onward);
  }
}
