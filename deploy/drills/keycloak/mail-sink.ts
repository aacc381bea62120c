import { once } from "node:events";
import type { AddressInfo } from "node:net";
import type { SMTPServer } from "smtp-server";
import { eventually } from "./eventually.ts";

/** A mail is there by then, ms. */
const MAIL_MS_MAX = 20_000;

interface RawMail {
  readonly to: readonly string[];
  readonly source: Buffer;
}

/** A mail server on 127.0.0.1 that takes every mail and delivers none. */
export class MailSink implements AsyncDisposable {
  readonly port: number;
  readonly #server: SMTPServer;
  readonly #mails: RawMail[];

  private constructor(server: SMTPServer, port: number, mails: RawMail[]) {
    this.#server = server;
    this.port = port;
    this.#mails = mails;
  }

  /** Listens on a free port. */
  static async start(): Promise<MailSink> {
    // For those who check out the project, not for those who run a site.
    const { SMTPServer: Server } = await import("smtp-server");
    const mails: RawMail[] = [];
    const server = new Server({
      authOptional: true,
      disabledCommands: ["AUTH", "STARTTLS"],
      disableReverseLookup: true,
      onData: (stream, session, done) => {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          const to = session.envelope.rcptTo.map(({ address }) => address);
          mails.push({ to, source: Buffer.concat(chunks) });
          done();
        });
      },
    });
    server.listen(0, "127.0.0.1");
    await once(server.server, "listening");
    const { port } = server.server.address() as AddressInfo;
    return new MailSink(server, port, mails);
  }

  /** The text of the oldest mail to an address that was not taken yet, once it came; it is taken. */
  async taken(to: string): Promise<string> {
    const { source } = await eventually(
      `a mail to ${to}`,
      async () => {
        const at = this.#mails.findIndex((mail) => mail.to.includes(to));
        return at === -1 ? undefined : this.#mails.splice(at, 1)[0];
      },
      MAIL_MS_MAX,
    );
    const { default: PostalMime } = await import("postal-mime");
    return (await PostalMime.parse(source)).text ?? "";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise<void>((resolve) => this.#server.close(resolve));
  }
}
