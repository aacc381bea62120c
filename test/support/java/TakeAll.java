import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.atomic.AtomicInteger;
import org.infinispan.client.hotrod.Flag;
import org.infinispan.client.hotrod.RemoteCache;

/** Takes keys that may be used once: removes that return what was there, of each of a row of keys, from several threads. */
final class TakeAll {
  private TakeAll() {}

  /** Arguments: prefix of the keys, how many, threads, {@code up} or {@code down} from which end. Results: failures, the first of them, then the numbers of the keys that were taken. */
  static List<String> run(RemoteCache<byte[], byte[]> plain, List<String> a) throws Exception {
    RemoteCache<byte[], byte[]> cache = plain.withFlags(Flag.FORCE_RETURN_VALUE);
    int count = Integer.parseInt(a.get(1));
    AtomicInteger next = new AtomicInteger();
    Queue<String> taken = new ConcurrentLinkedQueue<>();
    Queue<String> faults = new ConcurrentLinkedQueue<>();
    List<Thread> threads = new ArrayList<>();
    for (int i = Integer.parseInt(a.get(2)); i > 0; i--) {
      Thread thread =
          new Thread(
              () -> {
                for (int n; (n = next.getAndIncrement()) < count; ) {
                  int number = a.get(3).equals("up") ? n : count - 1 - n;
                  byte[] key = (a.get(0) + number).getBytes(StandardCharsets.UTF_8);
                  try {
                    if (cache.remove(key) != null) taken.add(String.valueOf(number));
                  } catch (RuntimeException e) {
                    faults.add(e.toString().replaceAll("\\s+", " "));
                  }
                }
              });
      threads.add(thread);
      thread.start();
    }
    for (Thread thread : threads) thread.join();
    List<String> results = new ArrayList<>();
    results.add(String.valueOf(faults.size()));
    results.add(faults.isEmpty() ? "-" : faults.peek());
    results.addAll(taken);
    return results;
  }
}
