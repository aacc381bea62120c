import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Compares what both caches hold with what the journal says was acknowledged. Of a key that one site alone writes, what shows
 * must be its last acknowledged operation, or a later one whose outcome is not known. Of keys that all sites write only that the
 * sites agree, and that somebody wrote what shows.
 */
final class Verdict {
  private static final int EXAMPLES_MAX = 10;

  /**
   * Writes of a site that were acknowledged in this time are excused when they are gone, and counted, unless a {@link Shot}
   * shows that another site had them.
   *
   * @param killed when the site's Infinispan was killed
   */
  record Window(String site, long from, long killed, long to) {
    boolean holds(Journal.Line line) {
      return line.site().equals(site) && line.to() >= from && line.to() <= to;
    }
  }

  private final Map<String, List<String>> faults = new TreeMap<>();
  private final Map<String, Integer> counts = new TreeMap<>();
  private final Set<String> excused = new HashSet<>();
  /** Of the acknowledged writes that are excused, how long before the kill the oldest was acknowledged. */
  private long excusedMs;

  /** Waits up to {@code settleMs} for a verdict without faults, prints the last one as JSON. */
  static void main(String[] args) throws Exception {
    Options options = new Options(args);
    List<Journal.Line> lines = Journal.read(Path.of(options.text("journal")));
    List<Window> windows =
        options.list("windows").stream()
            .map(each -> each.split("@"))
            .map(w -> new Window(w[0], at(w[1]), at(w[2]), at(w[3])))
            .toList();
    List<Shot> shots = Shot.read(options.shots());
    long begin = System.currentTimeMillis();
    long deadline = begin + options.number("settleMs");
    for (; ; ) {
      Verdict verdict = judge(lines, windows, shots, options.sites(), options.text("cache"));
      boolean isOver = verdict.counts.isEmpty() || System.currentTimeMillis() > deadline;
      if (isOver) {
        System.out.println(verdict.json(lines, options, System.currentTimeMillis() - begin));
        return;
      }
      Thread.sleep(500);
    }
  }

  private static long at(String ms) {
    return Long.parseLong(ms);
  }

  static Verdict judge(
      List<Journal.Line> lines,
      List<Window> windows,
      List<Shot> shots,
      List<Site> sites,
      String cacheName) {
    Map<String, List<Journal.Line>> byKey = new HashMap<>();
    for (Journal.Line line : lines)
      byKey.computeIfAbsent(line.key(), key -> new ArrayList<>()).add(line);
    Verdict verdict = new Verdict();
    Map<String, Map<String, byte[]>> all = new TreeMap<>();
    for (Site site : sites) all.put(site.name(), site.contents(cacheName));
    Set<String> keys = new HashSet<>(byKey.keySet());
    for (Map<String, byte[]> contents : all.values()) keys.addAll(contents.keySet());
    for (String key : keys) {
      List<Journal.Line> history = byKey.getOrDefault(key, List.of());
      byte[] first = all.values().iterator().next().get(key);
      for (Map.Entry<String, Map<String, byte[]>> site : all.entrySet()) {
        byte[] value = site.getValue().get(key);
        if (!Arrays.equals(first, value)) verdict.note("differing", key, site.getKey(), value);
        String fault = fault(key, value, history);
        if (fault == null) continue;
        long lostMs = excusedMs(key, value, history, windows, shots);
        if (lostMs >= 0) {
          verdict.excused.add(key);
          verdict.excusedMs = Math.max(verdict.excusedMs, lostMs);
        } else verdict.note(fault, key, site.getKey(), value);
      }
    }
    return verdict;
  }

  /** What is wrong with what shows of a key; null: nothing. */
  static String fault(String key, byte[] value, List<Journal.Line> history) {
    long seq = value == null ? 0 : Values.sequenceOf(key, value);
    boolean isWritten =
        history.stream().anyMatch(line -> line.isPut() && line.seq() == seq);
    if (value != null && !isWritten) return history.isEmpty() ? "unexpected" : "altered";
    if (key.startsWith("shared:")) return null;
    int last = history.size() - 1;
    while (last >= 0 && !history.get(last).isAcknowledged()) last--;
    // Whatever came behind the last acknowledged operation may have been done or not.
    for (int i = Math.max(last, 0); i < history.size(); i++)
      if (shows(value, seq, history.get(i))) return null;
    if (last < 0) return value == null ? null : "unexpected";
    if (history.get(last).isPut()) return "lost";
    return value == null ? "lost" : "resurrected";
  }

  private static boolean shows(byte[] value, long seq, Journal.Line line) {
    return line.isPut() ? value != null && seq == line.seq() : value == null;
  }

  /**
   * How long before the kill the oldest lost operation was acknowledged, in ms, if what shows is the last acknowledged one that
   * is in no window, or one behind it, and no other site had a newer one; else -1.
   */
  private static long excusedMs(
      String key, byte[] value, List<Journal.Line> history, List<Window> windows, List<Shot> shots) {
    long seq = value == null ? 0 : Values.sequenceOf(key, value);
    long lostMs = 0;
    for (int i = history.size() - 1; i >= 0; i--) {
      Journal.Line line = history.get(i);
      Window window = windows.stream().filter(each -> each.holds(line)).findFirst().orElse(null);
      if (shows(value, seq, line)) {
        boolean isSettled = window == null && line.isAcknowledged();
        boolean isUndone = shots.stream().anyMatch(shot -> shot.contradicts(key, line, isSettled));
        return isUndone ? -1 : lostMs;
      }
      if (!line.isAcknowledged()) continue;
      if (window == null) return -1;
      lostMs = Math.max(lostMs, window.killed() - line.to());
    }
    // Every operation on the key is in a window, so it may never have been.
    boolean isUndone = shots.stream().anyMatch(shot -> shot.contradicts(key, null, false));
    return value == null && !isUndone ? lostMs : -1;
  }

  private void note(String fault, String key, String site, byte[] value) {
    counts.merge(fault, 1, Integer::sum);
    List<String> examples = faults.computeIfAbsent(fault, name -> new ArrayList<>());
    String shown = value == null ? "nothing" : "write " + Values.sequenceOf(key, value);
    if (examples.size() < EXAMPLES_MAX) examples.add(key + " at " + site + " shows " + shown);
  }

  /** Keys by fault, each key once a site. */
  Map<String, Integer> counts() {
    return counts;
  }

  Map<String, List<String>> faults() {
    return faults;
  }

  private String json(List<Journal.Line> lines, Options options, long settledMs) {
    long acknowledged = lines.stream().filter(Journal.Line::isAcknowledged).count();
    StringBuilder text = new StringBuilder("{");
    text.append("\"acknowledged\":").append(acknowledged);
    text.append(",\"unknown\":").append(lines.size() - acknowledged);
    text.append(",\"excused\":").append(excused.size());
    text.append(",\"excusedMs\":").append(excusedMs);
    text.append(",\"settledMs\":").append(settledMs);
    long longestMs = lines.stream().mapToLong(line -> line.to() - line.from()).max().orElse(0);
    text.append(",\"longestMs\":").append(longestMs);
    for (String name : List.of("lost", "altered", "resurrected", "unexpected", "differing"))
      text.append(",\"" + name + "\":").append(counts.getOrDefault(name, 0));
    text.append(",\"inFlight\":[");
    List<String> inFlight = new ArrayList<>();
    for (String kill : options.list("kills")) {
      String[] span = kill.split("-");
      long from = Long.parseLong(span[0]);
      long to = Long.parseLong(span[1]);
      // The kill fell somewhere between both, mostly within one ms.
      inFlight.add(
          String.valueOf(lines.stream().filter(l -> l.from() <= to && l.to() >= from).count()));
    }
    text.append(String.join(",", inFlight)).append("],\"examples\":[");
    List<String> examples = new ArrayList<>();
    faults.forEach((fault, some) -> some.forEach(one -> examples.add("\"" + fault + ": " + one + "\"")));
    return text.append(String.join(",", examples)).append("]}").toString();
  }
}
