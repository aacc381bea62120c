import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/** Clients that were sent to another site, as a load balancer does when theirs is dead, and when each was first answered there. */
final class Moves {
  private static final int LOOK_MS = 5;

  /** By the site whose writers they are: where they write now. */
  private static final Map<String, String> TO = new ConcurrentHashMap<>();
  /** By that site, the threads that were answered since they were sent, each with ms since the epoch. */
  private static final Map<String, Map<Integer, Long>> ANSWERED = new ConcurrentHashMap<>();

  private static final Map<String, Long> SENT = new ConcurrentHashMap<>();

  private Moves() {}

  /** Where the writers of a site write. */
  static String of(Site site) {
    return TO.getOrDefault(site.name(), site.name());
  }

  static void answered(Journal.Line line, int thread) {
    Long sent = SENT.get(line.site());
    if (sent == null || !line.isAcknowledged() || line.from() < sent) return;
    ANSWERED.get(line.site()).putIfAbsent(thread, line.to());
  }

  /** Sends them, and waits until each was answered: ms until the first was and until all were, -1 for what took longer than `msMax`. */
  static String move(String of, String to, int threads, long msMax) throws InterruptedException {
    ANSWERED.put(of, new ConcurrentHashMap<>());
    long sent = System.currentTimeMillis();
    SENT.put(of, sent);
    TO.put(of, to);
    Map<Integer, Long> answered = ANSWERED.get(of);
    while (answered.size() < threads && System.currentTimeMillis() - sent < msMax)
      Thread.sleep(LOOK_MS);
    long first = answered.values().stream().mapToLong(at -> at - sent).min().orElse(-1);
    long all = answered.values().stream().mapToLong(at -> at - sent).max().orElse(-1);
    return first + " " + (answered.size() < threads ? -1 : all);
  }
}
