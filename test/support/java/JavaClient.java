import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.infinispan.client.hotrod.DataFormat;
import org.infinispan.client.hotrod.Flag;
import org.infinispan.client.hotrod.MetadataValue;
import org.infinispan.client.hotrod.RemoteCache;
import org.infinispan.client.hotrod.RemoteCacheManager;
import org.infinispan.client.hotrod.configuration.ClientIntelligence;
import org.infinispan.client.hotrod.configuration.ConfigurationBuilder;
import org.infinispan.client.hotrod.multimap.RemoteMultimapCache;
import org.infinispan.client.hotrod.multimap.RemoteMultimapCacheManagerFactory;
import org.infinispan.commons.configuration.StringConfiguration;
import org.infinispan.commons.dataconversion.MediaType;
import org.infinispan.commons.marshall.IdentityMarshaller;
import org.infinispan.commons.util.CloseableIterator;

/**
 * Infinispan's Hot Rod client behind lines of text. A request is {@code id TAB verb TAB arguments}, its reply
 * {@code id TAB ok TAB results} or {@code id TAB error TAB class: message}. Byte strings are hex, null is {@code -},
 * flags are comma-separated names of {@link Flag}. Requests run in their order, except load runs and the like, which run beside them;
 * one that does not end in time is answered with an error that says where it stands, and the next begins.
 * Keys and values pass as the bytes they are: no marshaller touches them, and they are sent with the cache's own media type.
 */
public final class JavaClient {
  private static final HexFormat HEX = HexFormat.of();

  /** Verbs that run beside the others, for as long as they take. */
  private static final List<String> LONG = List.of("load", "heldWrites", "mixedWrites", "takeAll");

  /** Bounds every other request; the longest of the tests take a few seconds. */
  private static final long REQUEST_MS_MAX = 30_000;

  private final Map<String, RemoteCacheManager> managers = new ConcurrentHashMap<>();
  private final PrintStream replies;

  private JavaClient(PrintStream replies) {
    this.replies = replies;
  }

  public static void main(String[] args) throws Exception {
    // Whatever a library prints must not look like a reply.
    JavaClient client = new JavaClient(new PrintStream(System.out, true, StandardCharsets.UTF_8));
    System.setOut(System.err);
    BufferedReader requests =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    client.reply("0", "ok");
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      String[] fields = line.split("\t", -1);
      Thread worker = new Thread(() -> client.answer(fields));
      worker.setDaemon(true);
      worker.start();
      if (!LONG.contains(fields[1])) client.await(worker, fields);
    }
    for (RemoteCacheManager manager : client.managers.values()) manager.stop();
    System.exit(0);
  }

  /**
   * Leaves a worker behind that does not end. Infinispan's client of 16.0.7 waits a day for itself when a server of the
   * topology it is told refuses its connection at once: it takes the dispatcher's lock twice in one thread.
   */
  private void await(Thread worker, String[] fields) throws InterruptedException {
    worker.join(REQUEST_MS_MAX);
    if (!worker.isAlive()) return;
    String where = Arrays.toString(worker.getStackTrace());
    reply(fields[0], "error", "no end of " + fields[1] + " after " + REQUEST_MS_MAX + " ms at " + where);
    worker.interrupt();
  }

  private void answer(String[] fields) {
    String id = fields[0];
    try {
      List<String> results = run(fields[1], List.of(fields).subList(2, fields.length));
      reply(id, "ok", results.toArray(String[]::new));
    } catch (Throwable fault) {
      reply(id, "error", chain(fault));
    }
  }

  private static String chain(Throwable fault) {
    StringBuilder text = new StringBuilder();
    for (Throwable each = fault; each != null; each = each.getCause()) {
      if (each != fault) text.append("; caused by ");
      text.append(each.getClass().getName()).append(": ").append(each.getMessage());
    }
    return text.toString().replaceAll("\\s+", " ");
  }

  private synchronized void reply(String id, String outcome, String... results) {
    String tail = results.length == 0 ? "" : "\t" + String.join("\t", results);
    replies.println(id + "\t" + outcome + tail);
  }

  private List<String> run(String verb, List<String> a) throws Exception {
    if (verb.equals("connect")) return connect(a);
    if (verb.equals("disconnect")) {
      managers.remove(a.get(0)).stop();
      return List.of();
    }
    if (verb.equals("createCache")) {
      StringConfiguration configuration = new StringConfiguration(a.get(4));
      managers.get(a.get(0)).administration().createCache(a.get(1), configuration);
      return List.of();
    }
    if (verb.startsWith("multimap")) return multimap(verb, a);
    RemoteCache<byte[], byte[]> cache = cache(a.get(0), a.get(1), a.get(2), a.get(3));
    List<String> rest = a.subList(4, a.size());
    return switch (verb) {
      case "load" -> Load.run(cache, rest);
      case "takeAll" -> TakeAll.run(cache, rest);
      case "mixedWrites" -> MixedWrites.run(cache, rest);
      case "heldWrites" ->
          HeldWrites.run(cache, cache(rest.get(0), a.get(1), a.get(2), "-"), rest.subList(1, rest.size()));
      case "get", "getWithMetadata", "containsKey", "size", "stats", "entries" ->
          read(verb, cache, rest);
      default -> write(verb, cache, rest);
    };
  }

  private List<String> connect(List<String> a) {
    Map<String, String> options = new LinkedHashMap<>();
    for (String option : a.subList(2, a.size())) {
      options.put(option.substring(0, option.indexOf('=')), option.substring(option.indexOf('=') + 1));
    }
    ConfigurationBuilder builder = new ConfigurationBuilder();
    builder.addServers(a.get(1).replace(",", ";"));
    builder.marshaller(IdentityMarshaller.INSTANCE);
    options.forEach((name, value) -> set(builder, name, value));
    RemoteCacheManager manager = new RemoteCacheManager(builder.build());
    managers.put(a.get(0), manager);
    return List.of();
  }

  private static void set(ConfigurationBuilder builder, String name, String value) {
    var login = builder.security().authentication();
    var ssl = builder.security().ssl();
    switch (name) {
      case "mechanism" -> login.enable().saslMechanism(value).serverName("infinispan").realm("default");
      case "username" -> login.username(value);
      case "password" -> login.password(value);
      case "token" -> login.token(value);
      case "trustStore" -> ssl.enable().trustStoreFileName(value).trustStoreType("PKCS12");
      case "keyStore" -> ssl.keyStoreFileName(value).keyStoreType("PKCS12");
      case "storePassword" ->
          ssl.trustStorePassword(value.toCharArray()).keyStorePassword(value.toCharArray());
      case "serverName" -> ssl.sniHostName(value);
      case "intelligence" -> builder.clientIntelligence(ClientIntelligence.valueOf(value));
      case "socketTimeoutMs" -> builder.socketTimeout(Integer.parseInt(value));
      case "maxRetries" -> builder.maxRetries(Integer.parseInt(value));
      default -> throw new IllegalArgumentException("unknown option " + name);
    }
  }

  private RemoteCache<byte[], byte[]> cache(String handle, String name, String type, String flags) {
    MediaType mediaType = MediaType.fromString(type);
    DataFormat asIs =
        DataFormat.builder()
            .keyType(mediaType)
            .keyMarshaller(IdentityMarshaller.INSTANCE)
            .valueType(mediaType)
            .valueMarshaller(IdentityMarshaller.INSTANCE)
            .build();
    RemoteCache<byte[], byte[]> cache = managers.get(handle).<byte[], byte[]>getCache(name);
    if (cache == null) throw new IllegalArgumentException("no cache " + name);
    cache = cache.withDataFormat(asIs);
    if (flags.equals("-")) return cache;
    return cache.withFlags(
        List.of(flags.split(",")).stream().map(Flag::valueOf).toArray(Flag[]::new));
  }

  /** Several values a key, kept by the server in one entry; keys and values pass as octets, whatever the cache stores. */
  private List<String> multimap(String verb, List<String> a) throws Exception {
    RemoteMultimapCache<byte[], byte[]> map =
        RemoteMultimapCacheManagerFactory.<byte[], byte[]>from(managers.get(a.get(0))).get(a.get(1));
    byte[] key = bytes(a.get(4));
    switch (verb) {
      case "multimapPut":
        map.put(key, bytes(a.get(5))).get();
        return List.of();
      case "multimapGet":
        return map.get(key).get().stream().map(JavaClient::hex).toList();
      default:
        throw new IllegalArgumentException("unknown verb " + verb);
    }
  }

  private static List<String> read(String verb, RemoteCache<byte[], byte[]> cache, List<String> a) {
    switch (verb) {
      case "get":
        return List.of(hex(cache.get(bytes(a.get(0)))));
      case "getWithMetadata":
        MetadataValue<byte[]> found = cache.getWithMetadata(bytes(a.get(0)));
        return found == null ? List.of() : metadata(found);
      case "containsKey":
        return List.of(String.valueOf(cache.containsKey(bytes(a.get(0)))));
      case "size":
        return List.of(String.valueOf(cache.size()));
      case "stats":
        List<String> pairs = new ArrayList<>();
        cache.serverStatistics().getStatsMap().forEach((k, v) -> pairs.addAll(List.of(k, v)));
        return pairs;
      default:
        List<String> entries = new ArrayList<>();
        try (CloseableIterator<Map.Entry<Object, MetadataValue<Object>>> all =
            cache.retrieveEntriesWithMetadata(null, Integer.parseInt(a.get(0)))) {
          while (all.hasNext()) {
            Map.Entry<Object, MetadataValue<Object>> entry = all.next();
            entries.add(hex((byte[]) entry.getKey()));
            entries.addAll(metadata(entry.getValue()));
          }
        }
        return entries;
    }
  }

  private static List<String> write(String verb, RemoteCache<byte[], byte[]> cache, List<String> a) {
    TimeUnit ms = TimeUnit.MILLISECONDS;
    switch (verb) {
      case "clear":
        cache.clear();
        return List.of();
      case "remove":
        return List.of(hex(cache.remove(bytes(a.get(0)))));
      case "removeWithVersion":
        return List.of(
            String.valueOf(cache.removeWithVersion(bytes(a.get(0)), Long.parseLong(a.get(1)))));
      default:
    }
    long lifespan = Long.parseLong(a.get(0));
    long maxIdle = Long.parseLong(a.get(1));
    byte[] key = bytes(a.get(2));
    byte[] value = bytes(a.get(3));
    switch (verb) {
      case "put":
        return List.of(hex(cache.put(key, value, lifespan, ms, maxIdle, ms)));
      case "putIfAbsent":
        return List.of(hex(cache.putIfAbsent(key, value, lifespan, ms, maxIdle, ms)));
      case "replace":
        return List.of(hex(cache.replace(key, value, lifespan, ms, maxIdle, ms)));
      case "replaceWithVersion":
        long version = Long.parseLong(a.get(4));
        return List.of(
            String.valueOf(
                cache.replaceWithVersion(key, value, version, lifespan, ms, maxIdle, ms)));
      case "putAll":
        Map<byte[], byte[]> entries = new LinkedHashMap<>();
        for (int i = 2; i < a.size(); i += 2) entries.put(bytes(a.get(i)), bytes(a.get(i + 1)));
        cache.putAll(entries, lifespan, ms, maxIdle, ms);
        return List.of();
      default:
        throw new IllegalArgumentException("unknown verb " + verb);
    }
  }

  private static List<String> metadata(MetadataValue<?> entry) {
    return List.of(
        hex((byte[]) entry.getValue()),
        String.valueOf(entry.getVersion()),
        String.valueOf(entry.getCreated()),
        String.valueOf(entry.getLifespan()),
        String.valueOf(entry.getLastUsed()),
        String.valueOf(entry.getMaxIdle()));
  }

  private static byte[] bytes(String hex) {
    return HEX.parseHex(hex);
  }

  private static String hex(byte[] bytes) {
    return bytes == null ? "-" : HEX.formatHex(bytes);
  }
}
