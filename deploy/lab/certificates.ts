import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The password of every key store of {@link makeCertificates}; the stores live and die with a trial's folder. */
export const STORE_PASSWORD = "changeit";

/** Files of a trial's own certificate authority, a server (127.0.0.1 and localhost) and a client (CN=isthmus). */
export interface Certificates {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
  /** PKCS#12 stores for Java: the server's key, the client's key, and the authority to trust. */
  readonly serverStore: string;
  readonly clientStore: string;
  readonly trustStore: string;
}

/** Makes certificates for a trial in `folder` with openssl and keytool. @throws Error when one of them is missing. */
export async function makeCertificates(folder: string): Promise<Certificates> {
  const at = (name: string) => join(folder, name);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
  const authority = ["-x509", "-subj", "/CN=Isthmus trial CA", "-keyout", at("ca.key")];
  await run("openssl", ["req", ...key, ...authority, "-out", at("ca.pem")]);
  await issue("server", "/CN=localhost", "subjectAltName=IP:127.0.0.1,DNS:localhost");
  await issue("client", "/CN=isthmus", "extendedKeyUsage=clientAuth");
  const store = ["-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-noprompt"];
  const trusted = ["-importcert", "-alias", "ca", "-file", at("ca.pem")];
  await run("keytool", [...trusted, "-keystore", at("trust.p12"), ...store]);
  // Infinispan's truststore realm looks the client's own certificate up, not only its issuer.
  const client = ["-importcert", "-alias", "isthmus", "-file", at("client.pem")];
  await run("keytool", [...client, "-keystore", at("trust.p12"), ...store]);
  return {
    caFile: at("ca.pem"),
    certFile: at("server.pem"),
    keyFile: at("server.key"),
    clientCertFile: at("client.pem"),
    clientKeyFile: at("client.key"),
    serverStore: at("server.p12"),
    clientStore: at("client.p12"),
    trustStore: at("trust.p12"),
  };

  async function issue(name: string, subject: string, extension: string): Promise<void> {
    const files = ["-keyout", at(`${name}.key`), "-out", at(`${name}.pem`)];
    const signer = ["-CA", at("ca.pem"), "-CAkey", at("ca.key")];
    await run("openssl", [
      "req",
      "-x509",
      ...key,
      "-subj",
      subject,
      "-addext",
      extension,
      ...signer,
      ...files,
    ]);
    const chain = at(`${name}-chain.pem`);
    writeFileSync(
      chain,
      readFileSync(at(`${name}.pem`), "utf8") + readFileSync(at("ca.pem"), "utf8"),
    );
    const pair = ["-in", chain, "-inkey", at(`${name}.key`), "-name", name];
    const out = ["-out", at(`${name}.p12`), "-passout", `pass:${STORE_PASSWORD}`];
    await run("openssl", ["pkcs12", "-export", ...pair, ...out]);
  }
}
