import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.infinispan.client.hotrod.RemoteCache;

/**
 * Writes through one cache and, at every answer, looks for what was written in another, which is to have it by then: puts of
 * new keys, changes of them and removes, from several threads with keys of their own.
 */
final class HeldWrites {
  private HeldWrites() {}

  /**
   * Arguments: writes in all, threads, prefix of the keys. Results: writes that were answered as done, failures, misses (the
   * other cache did not have the write at its answer), then latency in microseconds: p50, p99, maximum, then the first
   * failure or miss.
   */
  static List<String> run(
      RemoteCache<byte[], byte[]> here, RemoteCache<byte[], byte[]> there, List<String> a)
      throws Exception {
    int writes = Integer.parseInt(a.get(0));
    int threads = Integer.parseInt(a.get(1));
    Writer[] writers = new Writer[threads];
    AtomicInteger next = new AtomicInteger();
    for (int i = 0; i < threads; i++) {
      writers[i] = new Writer(here, there, a.get(2) + i + "-", next, writes);
      writers[i].start();
    }
    for (Writer writer : writers) writer.join();
    long[] nanos = new long[0];
    int failures = 0;
    int misses = 0;
    String fault = "-";
    for (Writer writer : writers) {
      int before = nanos.length;
      nanos = Arrays.copyOf(nanos, before + writer.done);
      System.arraycopy(writer.nanos, 0, nanos, before, writer.done);
      failures += writer.failures;
      misses += writer.misses;
      if (writer.fault != null) fault = writer.fault.replaceAll("\\s+", " ");
    }
    Arrays.sort(nanos);
    return List.of(
        String.valueOf(nanos.length),
        String.valueOf(failures),
        String.valueOf(misses),
        micros(nanos, 0.5),
        micros(nanos, 0.99),
        micros(nanos, 1),
        fault);
  }

  private static String micros(long[] sorted, double q) {
    if (sorted.length == 0) return "0";
    return String.valueOf(sorted[(int) Math.min(sorted.length - 1, q * sorted.length)] / 1000);
  }

  private static final class Writer extends Thread {
    private final RemoteCache<byte[], byte[]> here;
    private final RemoteCache<byte[], byte[]> there;
    private final String prefix;
    private final AtomicInteger next;
    private final long[] nanos;
    private final int writes;
    private int done;
    private int failures;
    private int misses;
    private String fault;

    Writer(
        RemoteCache<byte[], byte[]> here,
        RemoteCache<byte[], byte[]> there,
        String prefix,
        AtomicInteger next,
        int writes) {
      this.here = here;
      this.there = there;
      this.prefix = prefix;
      this.next = next;
      this.writes = writes;
      this.nanos = new long[writes];
    }

    @Override
    public void run() {
      for (int n; (n = next.getAndIncrement()) < writes; ) {
        // Every tenth write removes what the one before put.
        boolean removes = n % 10 == 9;
        byte[] key = (prefix + (done / 3 % 50)).getBytes(StandardCharsets.UTF_8);
        byte[] value = removes ? null : Integer.toString(n).getBytes(StandardCharsets.UTF_8);
        long from = System.nanoTime();
        try {
          if (removes) here.remove(key);
          else here.put(key, value);
        } catch (RuntimeException e) {
          failures++;
          fault = e.toString();
          continue;
        }
        nanos[done++] = System.nanoTime() - from;
        byte[] found = there.get(key);
        if (Arrays.equals(found, value)) continue;
        misses++;
        fault = new String(key, StandardCharsets.UTF_8) + " is " + text(found) + " not " + text(value);
      }
    }

    private static String text(byte[] value) {
      return value == null ? "missing" : new String(value, StandardCharsets.UTF_8);
    }
  }
}
