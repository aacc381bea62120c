/** Rows as aligned columns, a line each, without blanks at the ends. */
export function textLines(rows: readonly (readonly string[])[]): string[] {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, i) =>
    Math.max(...rows.map((row) => row[i]?.length ?? 0)),
  );
  return rows.map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** As {@link textLines}, in one text. */
export const textTable = (rows: readonly (readonly string[])[]): string =>
  textLines(rows)
    .map((line) => `${line}\n`)
    .join("");
