import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.SplittableRandom;

/** What is written: bytes that follow from key and sequence, so that a changed bit shows, and no two writes are alike. */
final class Values {
  private static final int PADDING_BYTES = 48;

  private Values() {}

  static byte[] of(String key, long seq) {
    byte[] head = (seq + " " + key + " ").getBytes(StandardCharsets.UTF_8);
    byte[] value = Arrays.copyOf(head, head.length + PADDING_BYTES);
    SplittableRandom random = new SplittableRandom(seq * 31 + key.hashCode());
    for (int i = head.length; i < value.length; i++) value[i] = (byte) random.nextInt();
    return value;
  }

  /** The sequence of the write of this key that made these bytes; -1: no write makes them. */
  static long sequenceOf(String key, byte[] value) {
    int space = 0;
    while (space < value.length && value[space] != ' ') space++;
    try {
      long seq = Long.parseLong(new String(value, 0, space, StandardCharsets.UTF_8));
      return Arrays.equals(of(key, seq), value) ? seq : -1;
    } catch (NumberFormatException e) {
      return -1;
    }
  }
}
