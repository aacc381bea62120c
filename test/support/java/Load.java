import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.List;
import java.util.SplittableRandom;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.LockSupport;
import org.infinispan.client.hotrod.RemoteCache;

/**
 * Puts, removes and reads of random keys from many threads for a time. Latency is counted from when an operation was due, not
 * from when it was sent, so that a stall shows in every operation that it held up.
 */
final class Load {
  private Load() {}

  /**
   * Arguments: threads, operations a second over all threads (0: as fast as they go), keys, value bytes, seconds, percent
   * of removes, prefix of the keys, seed, percent of reads. Results: acked puts, acked removes, failures, ms, then latency in
   * microseconds: p50, p90, p99, p99.9, maximum, then the first failure, and the number of reads.
   */
  static List<String> run(RemoteCache<byte[], byte[]> cache, List<String> a) throws Exception {
    int threads = Integer.parseInt(a.get(0));
    Shape shape =
        new Shape(
            Double.parseDouble(a.get(1)) / threads,
            Integer.parseInt(a.get(2)),
            Integer.parseInt(a.get(3)),
            (long) (Double.parseDouble(a.get(4)) * 1e9),
            Integer.parseInt(a.get(5)),
            a.get(6),
            Integer.parseInt(a.get(8)));
    SplittableRandom seeds = new SplittableRandom(Long.parseLong(a.get(7)));
    Worker[] workers = new Worker[threads];
    AtomicLong order = new AtomicLong();
    long started = System.nanoTime();
    for (int i = 0; i < threads; i++) {
      workers[i] = new Worker(cache, shape, seeds.split(), order, started);
      workers[i].start();
    }
    for (Worker worker : workers) worker.join();
    return summary(workers, System.nanoTime() - started);
  }

  private static List<String> summary(Worker[] workers, long elapsedNanos) {
    long[] all = new long[0];
    long puts = 0;
    long removes = 0;
    long reads = 0;
    long failures = 0;
    String fault = "-";
    for (Worker worker : workers) {
      int before = all.length;
      all = Arrays.copyOf(all, before + worker.count);
      System.arraycopy(worker.nanos, 0, all, before, worker.count);
      puts += worker.puts;
      removes += worker.removes;
      reads += worker.reads;
      failures += worker.failures;
      if (worker.fault != null) fault = worker.fault.toString().replaceAll("\\s+", " ");
    }
    Arrays.sort(all);
    return List.of(
        String.valueOf(puts),
        String.valueOf(removes),
        String.valueOf(failures),
        String.valueOf(elapsedNanos / 1_000_000),
        quantile(all, 0.5),
        quantile(all, 0.9),
        quantile(all, 0.99),
        quantile(all, 0.999),
        quantile(all, 1),
        fault,
        String.valueOf(reads));
  }

  private static String quantile(long[] sorted, double q) {
    if (sorted.length == 0) return "0";
    int index = (int) Math.min(sorted.length - 1, Math.floor(q * sorted.length));
    return String.valueOf(sorted[index] / 1000);
  }

  private record Shape(
      double perSecond, int keys, int valueBytes, long nanos, int removePercent, String prefix, int readPercent) {}

  private static final class Worker extends Thread {
    private final RemoteCache<byte[], byte[]> cache;
    private final Shape shape;
    private final SplittableRandom random;
    private final AtomicLong order;
    private final long started;
    private long[] nanos = new long[1024];
    private int count;
    private long puts;
    private long removes;
    private long reads;
    private long failures;
    private Throwable fault;

    Worker(
        RemoteCache<byte[], byte[]> cache,
        Shape shape,
        SplittableRandom random,
        AtomicLong order,
        long started) {
      this.cache = cache;
      this.shape = shape;
      this.random = random;
      this.order = order;
      this.started = started;
    }

    @Override
    public void run() {
      double interval = shape.perSecond == 0 ? 0 : 1e9 / shape.perSecond;
      // Threads of a paced load start apart, or they would all write at once.
      double due = started + random.nextDouble() * interval;
      while (System.nanoTime() - started < shape.nanos) {
        if (interval > 0) {
          for (long now; (now = System.nanoTime()) < due; ) LockSupport.parkNanos((long) due - now);
        }
        long from = interval > 0 ? (long) due : System.nanoTime();
        due += interval;
        one();
        if (count == nanos.length) nanos = Arrays.copyOf(nanos, count * 2);
        nanos[count++] = System.nanoTime() - from;
      }
    }

    private void one() {
      String name = shape.prefix + random.nextInt(shape.keys);
      byte[] key = name.getBytes(StandardCharsets.UTF_8);
      try {
        // Runs without reads draw as if there were none.
        if (shape.readPercent > 0 && random.nextInt(100) < shape.readPercent) {
          cache.get(key);
          reads++;
        } else if (random.nextInt(100) < shape.removePercent) {
          cache.remove(key);
          removes++;
        } else {
          cache.put(key, value());
          puts++;
        }
      } catch (RuntimeException e) {
        failures++;
        if (fault == null) fault = e;
      }
    }

    /** Random bytes behind a number that no other value of the run has. */
    private byte[] value() {
      byte[] value = new byte[shape.valueBytes];
      for (int i = 0; i < value.length; i++) value[i] = (byte) random.nextInt();
      byte[] number = Long.toString(order.incrementAndGet()).getBytes(StandardCharsets.UTF_8);
      System.arraycopy(number, 0, value, 0, Math.min(number.length, value.length));
      return value;
    }
  }
}
