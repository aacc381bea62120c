import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Clock } from "../../topology/ports.ts";

/** Where a cache server listens. */
export interface ServerAddress {
  readonly host: string;
  readonly port: number;
}

/** TLS toward the cache servers; certificates and keys are PEM texts. */
export interface TlsOptions {
  /** Who signed the servers' certificates; undefined: the CAs that Node trusts. */
  readonly ca?: string;
  /** The name to ask for (SNI) and to verify; default: the server's host, if that is a name. */
  readonly serverName?: string;
  /** The client's certificate, with its key. */
  readonly cert?: string;
  readonly key?: string;
}

/** `host:port`, with brackets around an IPv6 address. */
export function addressText(server: ServerAddress): string {
  return isIP(server.host) === 6
    ? `[${server.host}]:${server.port}`
    : `${server.host}:${server.port}`;
}

/**
 * Opens a socket, TLS included: the certificate is always verified. Rejects with what the system said, and after
 * `timeoutMs`.
 */
export function openSocket(
  server: ServerAddress,
  tls: TlsOptions | undefined,
  clock: Clock,
  timeoutMs: number,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = tls === undefined ? connectTcp(server) : startTls(server, tls);
    const cancel = clock.after(timeoutMs, () => {
      socket.destroy(new Error(`no connection within ${timeoutMs} ms`));
    });
    const settle = (error: Error | undefined): void => {
      cancel();
      socket.off("error", settle);
      socket.off("close", onClose);
      if (error === undefined) {
        socket.setNoDelay(true);
        resolve(socket);
      } else {
        // A socket that failed may fail again; nobody is left to hear of it.
        socket.on("error", () => undefined);
        socket.destroy();
        reject(error);
      }
    };
    const onClose = (): void => settle(new Error("closed by the server during the handshake"));
    socket.once("error", settle);
    socket.once("close", onClose);
    socket.once(tls === undefined ? "connect" : "secureConnect", () => settle(undefined));
  });
}

function startTls(server: ServerAddress, tls: TlsOptions): Socket {
  const serverName = tls.serverName ?? (isIP(server.host) === 0 ? server.host : undefined);
  return connectTls({
    host: server.host,
    port: server.port,
    ...(serverName === undefined ? {} : { servername: serverName }),
    ...(tls.ca === undefined ? {} : { ca: tls.ca }),
    ...(tls.cert === undefined ? {} : { cert: tls.cert }),
    ...(tls.key === undefined ? {} : { key: tls.key }),
  });
}
