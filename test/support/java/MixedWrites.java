import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import java.util.concurrent.atomic.AtomicInteger;
import org.infinispan.client.hotrod.Flag;
import org.infinispan.client.hotrod.MetadataValue;
import org.infinispan.client.hotrod.RemoteCache;

/** Writes of every kind to random keys, from several threads, as one seed draws them. */
final class MixedWrites {
  private static final String[] KINDS = {
    "put", "putIfAbsent", "replace", "remove", "replaceWithVersion", "removeWithVersion", "putAll", "getAndPut"
  };

  private MixedWrites() {}

  /**
   * Arguments: seed, operations, keys, threads, what the values begin with. Results: milliseconds, failures, the first
   * failure, then {@code kind=done/tried} for each kind; done: it changed something, as far as its answer tells.
   */
  static List<String> run(RemoteCache<byte[], byte[]> cache, List<String> a) throws Exception {
    int threads = Integer.parseInt(a.get(3));
    SplittableRandom seeds = new SplittableRandom(Long.parseLong(a.get(0)));
    AtomicInteger left = new AtomicInteger(Integer.parseInt(a.get(1)));
    Writer[] writers = new Writer[threads];
    long from = System.nanoTime();
    for (int i = 0; i < threads; i++) {
      writers[i] = new Writer(cache, seeds.split(), left, Integer.parseInt(a.get(2)), a.get(4) + i + "-");
      writers[i].start();
    }
    for (Writer writer : writers) writer.join();
    int failures = Arrays.stream(writers).mapToInt(w -> w.failures).sum();
    String fault =
        Arrays.stream(writers).map(w -> w.fault).filter(f -> f != null).findFirst().orElse("-");
    Map<String, int[]> counts = new TreeMap<>();
    for (Writer writer : writers)
      writer.counts.forEach(
          (kind, n) -> {
            int[] sum = counts.computeIfAbsent(kind, k -> new int[2]);
            sum[0] += n[0];
            sum[1] += n[1];
          });
    StringBuilder kinds = new StringBuilder();
    counts.forEach((kind, n) -> kinds.append(kind + "=" + n[0] + "/" + n[1] + " "));
    return List.of(
        String.valueOf((System.nanoTime() - from) / 1_000_000),
        String.valueOf(failures),
        fault.replaceAll("\\s+", " "),
        kinds.toString().trim());
  }

  private static final class Writer extends Thread {
    private final RemoteCache<byte[], byte[]> cache;
    private final RemoteCache<byte[], byte[]> returning;
    private final SplittableRandom random;
    private final AtomicInteger left;
    private final int keys;
    private final String prefix;
    private final Map<String, int[]> counts = new TreeMap<>();
    private int written;
    private int failures;
    private String fault;

    Writer(
        RemoteCache<byte[], byte[]> cache,
        SplittableRandom random,
        AtomicInteger left,
        int keys,
        String prefix) {
      this.cache = cache;
      this.returning = cache.withFlags(Flag.FORCE_RETURN_VALUE);
      this.random = random;
      this.left = left;
      this.keys = keys;
      this.prefix = prefix;
    }

    @Override
    public void run() {
      while (left.getAndDecrement() > 0) {
        String kind = KINDS[random.nextInt(KINDS.length)];
        int[] count = counts.computeIfAbsent(kind, k -> new int[2]);
        count[1]++;
        try {
          if (one(kind)) count[0]++;
        } catch (RuntimeException e) {
          failures++;
          if (fault == null) fault = kind + ": " + e;
        }
      }
    }

    private boolean one(String kind) {
      byte[] key = key();
      switch (kind) {
        case "put":
          cache.put(key, value());
          return true;
        case "putIfAbsent":
          return returning.putIfAbsent(key, value()) == null;
        case "replace":
          return returning.replace(key, value()) != null;
        case "remove":
          return returning.remove(key) != null;
        case "getAndPut":
          returning.put(key, value());
          return true;
        case "putAll":
          Map<byte[], byte[]> entries = new TreeMap<>(Arrays::compare);
          for (int i = random.nextInt(1, 8); i > 0; i--) entries.put(key(), value());
          cache.putAll(entries);
          return true;
        default:
          MetadataValue<byte[]> found = cache.getWithMetadata(key);
          if (found == null) return false;
          return kind.equals("replaceWithVersion")
              ? cache.replaceWithVersion(key, value(), found.getVersion())
              : cache.removeWithVersion(key, found.getVersion());
      }
    }

    private byte[] key() {
      return ("key-" + random.nextInt(keys)).getBytes(StandardCharsets.UTF_8);
    }

    private byte[] value() {
      return (prefix + written++).getBytes(StandardCharsets.UTF_8);
    }
  }
}
