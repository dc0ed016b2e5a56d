/** Plain-text tables and quantities for people. */

/**
 * Rows as aligned columns: text to the left, numbers (cells of digits) to the right, two blanks between.
 * @param indent written before each line.
 */
export function table(rows: readonly (readonly string[])[], indent = ''): string {
  const widths: number[] = [];
  for (const row of rows) for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  const aligned = (cell: string, width: number) =>
    /^-?\d[\d,.]*$/.test(cell) ? cell.padStart(width) : cell.padEnd(width);
  return rows
    .map((row) => `${indent}${row.map((cell, i) => aligned(cell, widths[i])).join('  ')}`.trimEnd())
    .join('\n');
}

/** 1234567 as `1,234,567`. */
export function grouped(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Bytes in the largest binary unit that keeps the number at 1 or more. */
export function bytes(value: number): string {
  return scaled(value, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
}

/** A count in powers of 1000: `12.3 GFLOP`. */
export function flops(value: number): string {
  return scaled(value, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP']);
}

function scaled(value: number, base: number, units: readonly string[]): string {
  let unit = 0;
  while (value >= base && unit < units.length - 1) [value, unit] = [value / base, unit + 1];
  // toPrecision would write 1020 as 1.02e+3.
  return `${unit === 0 ? value : value >= 999.5 ? Math.round(value) : value.toPrecision(3)} ${units[unit]}`;
}
