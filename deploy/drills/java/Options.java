import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Arguments of the form {@code name=value}. */
final class Options {
  private final Map<String, String> values = new HashMap<>();

  Options(String[] args) {
    for (String arg : args) {
      int at = arg.indexOf('=');
      values.put(arg.substring(0, at), arg.substring(at + 1));
    }
  }

  String text(String name) {
    String value = values.get(name);
    if (value == null) throw new IllegalArgumentException("missing " + name + "=");
    return value;
  }

  int number(String name) {
    return Integer.parseInt(text(name));
  }

  /** Values between commas; none when the option is missing or empty. */
  List<String> list(String name) {
    String value = values.getOrDefault(name, "");
    return value.isEmpty() ? List.of() : List.of(value.split(","));
  }

  /** Beside the journal, what {@link Shot} adds to. */
  Path shots() {
    return Path.of(text("journal") + ".shots");
  }

  /** {@code sites=nyc@127.0.0.1:1,lon@127.0.0.1:2}. */
  List<Site> sites() {
    return sites("sites");
  }

  /** Where is written: through front doors if there are any ({@code doors=nyc@127.0.0.1:3}), else at every site. */
  List<Site> writtenAt() {
    return list("doors").isEmpty() ? sites() : sites("doors");
  }

  private List<Site> sites(String name) {
    return list(name).stream().map(each -> each.split("@")).map(p -> new Site(p[0], p[1])).toList();
  }
}
