import java.util.Arrays;

/** The judge of the drills, a process of its own: {@code write} loads two sites and records, {@code mix} does all that a client can, {@code check} judges, {@code prove} tests both. */
public final class Checker {
  private Checker() {}

  public static void main(String[] args) throws Exception {
    String[] rest = Arrays.copyOfRange(args, 1, args.length);
    switch (args[0]) {
      case "write" -> Writers.main(rest);
      case "mix" -> Mixed.main(rest);
      case "check" -> Verdict.main(rest);
      case "prove" -> Proof.main(rest);
      default -> throw new IllegalArgumentException("unknown verb " + args[0]);
    }
    System.exit(0);
  }
}
