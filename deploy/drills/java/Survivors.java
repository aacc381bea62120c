import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;

/**
 * What is to be at the other sites when one is dead: of each key that it alone writes the last acknowledged operation, or one
 * behind it whose outcome is not known. Nothing is waited for: a site that is dead sends nothing any more.
 */
final class Survivors {
  /** By key, from its last acknowledged operation on; a key has one writer. */
  private static final Map<String, List<Journal.Line>> LAST = new ConcurrentHashMap<>();

  private Survivors() {}

  static void add(Journal.Line line) {
    List<Journal.Line> before = LAST.getOrDefault(line.key(), List.of());
    List<Journal.Line> after = new ArrayList<>(line.isAcknowledged() ? List.of() : before);
    after.add(line);
    LAST.put(line.key(), after);
  }

  /** How many keys were looked for, how many are not as acknowledged, and an example. */
  static String of(String dead, List<Site> sites, String cacheName) {
    Set<String> checked = new HashSet<>();
    int lost = 0;
    String example = "-";
    for (Site site : sites) {
      if (site.name().equals(dead)) continue;
      Map<String, byte[]> contents = site.contents(cacheName);
      for (Map.Entry<String, List<Journal.Line>> entry : LAST.entrySet()) {
        String key = entry.getKey();
        if (!key.startsWith(dead + ":")) continue;
        checked.add(key);
        byte[] value = contents.get(key);
        if (Verdict.fault(key, value, entry.getValue()) == null) continue;
        lost++;
        long shown = value == null ? 0 : Values.sequenceOf(key, value);
        example = key + " at " + site.name() + " is " + shown + " not " + entry.getValue();
      }
    }
    return checked.size() + " " + lost + " " + example;
  }
}
