import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { infinispanXml } from "./infinispan-config.ts";
import type { InfinispanConfig } from "./infinispan-config.ts";
import { which } from "./which.ts";

/** Heap that suffices for the caches of a test or of the lab, in MiB. */
const HEAP_MIB = 512;

/** The Java client's first frame (PING, version 3.1, no cache): any answer, a refusal too, shows that Hot Rod is up. */
export const HOT_ROD_PING = Buffer.from("a0011f17000001000000", "hex");

/** The first byte of every Hot Rod answer. */
export const HOT_ROD_ANSWER = 0xa1;

/** What a server logs when its start is over; Hot Rod answers before, with errors. */
export const STARTED_MESSAGE = "ISPN080001";

/** Writes all that a server reads from its folder. */
export function writeInfinispanHome(folder: string, config: InfinispanConfig): void {
  const conf = join(folder, "conf");
  mkdirSync(conf, { recursive: true });
  // The server's class loader wants a folder for extensions.
  mkdirSync(join(folder, "lib"), { recursive: true });
  writeFileSync(join(conf, "infinispan.xml"), infinispanXml(config));
  writeFileSync(join(conf, "log4j2.xml"), LOG4J);
  const users = Object.entries(config.auth?.users ?? {});
  const passwords = users.map(([user, password]) => `${user}=${password}`);
  const realm = ["#$REALM_NAME=default$", ...passwords, ""].join("\n");
  writeFileSync(join(conf, "users.properties"), realm);
  const roleOf = (user: string) => config.auth?.roles?.of[user] ?? "admin";
  const groups = users.map(([user]) => `${user}=${roleOf(user)}`);
  writeFileSync(join(conf, "groups.properties"), [...groups, ""].join("\n"));
}

/** Java's arguments for the server whose folder {@link writeInfinispanHome} wrote. @throws Error when the jars cannot be had. */
export async function infinispanArguments(
  folder: string,
  nodeName: string,
  heapMib = HEAP_MIB,
): Promise<string[]> {
  const java = [
    `-Xmx${heapMib}m`,
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djgroups.bind.address=127.0.0.1",
    "-Djgroups.join_timeout=500",
    `-Dinfinispan.server.home.path=${folder}`,
  ];
  const server = ["-cp", await which("infinispan"), "org.infinispan.server.Bootstrap"];
  const logging = join(folder, "conf", "log4j2.xml");
  return [...java, ...server, "-s", folder, "-c", "infinispan.xml", "-l", logging, "-n", nodeName];
}

const LOG4J = `<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <Console name="STDOUT"><PatternLayout pattern="%d{HH:mm:ss.SSS} %-5p (%t) [%c] %m%throwable%n"/></Console>
  </Appenders>
  <Loggers>
    <Root level="INFO"><AppenderRef ref="STDOUT"/></Root>
  </Loggers>
</Configuration>
`;
