import { describe, expect, it } from "vitest";
import { ErrorCode, IsthmusError } from "../../../topology/errors.ts";
import { digestMd5 } from "../../../site-agent/connector/sasl/digest-md5.ts";
import { SASL_NAMES, saslMechanism } from "../../../site-agent/connector/sasl/mechanism.ts";
import { scram } from "../../../site-agent/connector/sasl/scram.ts";
import type { ScramName } from "../../../site-agent/connector/sasl/scram.ts";

const random = { next: () => 0.5, bytes: (n: number) => Buffer.alloc(n, 7) };
const text = (bytes: Buffer | undefined): string | undefined => bytes?.toString("utf8");

interface Vector {
  readonly name: ScramName;
  readonly nonce: string;
  readonly first: string;
  readonly serverFirst: string;
  readonly final: string;
  readonly serverFinal: string;
}

/** RFC 7677 section 3. */
const VECTORS: readonly Vector[] = [
  {
    name: "SCRAM-SHA-256",
    nonce: "rOprNGfwEbeRWgbNEkqO",
    first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    serverFirst:
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    final:
      "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    serverFinal: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
  },
];

const begin = (vector: Vector) =>
  scram({ name: vector.name, username: "user", password: "pencil", clientNonce: vector.nonce });

describe("SCRAM", () => {
  it.each(VECTORS)("speaks the exchange of its RFC: $name", (vector) => {
    const client = begin(vector);
    expect(text(client.start())).toBe(vector.first);
    expect(text(client.step(Buffer.from(vector.serverFirst)))).toBe(vector.final);
    expect(client.step(Buffer.from(vector.serverFinal))).toBeUndefined();
  });

  it.each(VECTORS)("refuses a server that does not know the password: $name", (vector) => {
    const client = begin(vector);
    client.start();
    client.step(Buffer.from(vector.serverFirst));
    const wrong = `v=${Buffer.alloc(Buffer.from(vector.serverFinal.slice(2), "base64").length).toString("base64")}`;
    expect(() => client.step(Buffer.from(wrong))).toThrow(/signature is wrong/);
  });

  it("refuses a nonce that is not an extension of its own, no salt, and absurd iterations", () => {
    const vector = VECTORS[0] as Vector;
    const answer = (serverFirst: string) => () => begin(vector).step(Buffer.from(serverFirst));
    expect(answer("r=other,s=QSXCR+Q6sek8bf92,i=4096")).toThrow(/nonce does not extend/);
    expect(answer(`r=${vector.nonce},s=QSXCR+Q6sek8bf92,i=4096`)).toThrow(/nonce does not extend/);
    expect(answer(`r=${vector.nonce}x,i=4096`)).toThrow(/no salt/);
    expect(answer(`r=${vector.nonce}x,s=QSXCR+Q6sek8bf92,i=99999999`)).toThrow(/iterations/);
    expect(answer(`r=${vector.nonce}x,s=QSXCR+Q6sek8bf92,i=x`)).toThrow(/iterations/);
    expect(answer("e=other-error")).toThrow(/other-error/);
  });

  it("escapes '=' and ',' in the user's name", () => {
    const client = scram({
      name: "SCRAM-SHA-512",
      username: "a=b,c",
      password: "x",
      clientNonce: "n",
    });
    expect(text(client.start())).toBe("n,,n=a=3Db=2Cc,r=n");
  });
});

describe("DIGEST-MD5", () => {
  /** RFC 2831 section 4, its IMAP example. */
  const challenge =
    'realm="elwood.innosoft.com",nonce="OA6MG9tEQGm2hh",qop="auth",algorithm=md5-sess,charset=utf-8';
  const begin2831 = () =>
    digestMd5({
      username: "chris",
      password: "secret",
      realm: undefined,
      service: "imap",
      serverName: "elwood.innosoft.com",
      clientNonce: "OA6MHXh6VqTrRk",
    });

  it("speaks the exchange of its RFC", () => {
    const client = begin2831();
    expect(client.start()).toBeUndefined();
    const response = text(client.step(Buffer.from(challenge)));
    expect(response).toContain("response=d388dad90d4bbd760a152321f2143af7");
    expect(response).toContain('realm="elwood.innosoft.com"');
    expect(client.step(Buffer.from("rspauth=ea40f60335c427b5527b84dbabcdfffd"))).toBeUndefined();
  });

  it("refuses a wrong rspauth, and a server that demands more than authentication", () => {
    const client = begin2831();
    client.step(Buffer.from(challenge));
    expect(() => client.step(Buffer.from("rspauth=00000000000000000000000000000000"))).toThrow(
      /rspauth is wrong/,
    );
    expect(() => begin2831().step(Buffer.from('nonce="x",qop="auth-int,auth-conf"'))).toThrow(
      /qop/,
    );
  });
});

describe("the other mechanisms", () => {
  it("PLAIN, EXTERNAL and OAUTHBEARER say all in the first message", () => {
    const start = (mechanism: "PLAIN" | "EXTERNAL" | "OAUTHBEARER") =>
      text(saslMechanism({ mechanism, username: "u", password: "p" }, random).start());
    expect(start("PLAIN")).toBe("\0u\0p");
    expect(start("EXTERNAL")).toBe("");
    expect(start("OAUTHBEARER")).toBe("n,,%x01auth=Bearer p%x01%x01");
  });

  it("a login without a password fails before anything is sent, naming what is missing", () => {
    for (const mechanism of SASL_NAMES.filter((name) => name !== "EXTERNAL")) {
      let error: unknown;
      try {
        saslMechanism({ mechanism, username: "u" }, random);
      } catch (thrown) {
        error = thrown;
      }
      expect(error).toBeInstanceOf(IsthmusError);
      expect((error as IsthmusError).code).toBe(ErrorCode.CacheAuthFailed);
      expect((error as IsthmusError).message).toContain("password");
    }
  });
});
