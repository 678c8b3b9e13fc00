// Figures and tables for people.

/**
 * The lower quartile. What else a machine does can only make a round slower, and not all rounds alike: it says more than
 * the median, and is not as lucky as the fastest.
 */
function quartile(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 2];
}

/** The four kinds of handshake, in the order in which they are shown. */
export const cases = [
  { protocol: "TLSv1.2", kind: "full", title: "1.2 full" },
  { protocol: "TLSv1.2", kind: "resumed", title: "1.2 resumed" },
  { protocol: "TLSv1.3", kind: "full", title: "1.3 full" },
  { protocol: "TLSv1.3", kind: "resumed", title: "1.3 resumed" },
];

/**
 * A table of microseconds: the first row is what the others are held against.
 *
 * @param rows `{ name, target, rounds }`: for each case, the microseconds of each round
 * @returns the table, and whether every target was met
 */
export function table(rows) {
  const [base, ...others] = rows;
  let met = true;
  const lines = [["", ...cases.map(({ title }) => title), "target"], [
    base.name,
    ...base.rounds.map((rounds) => `${micros(quartile(rounds))}       `),
    "",
  ]];
  for (const { name, target, rounds } of others) {
    const cells = rounds.map((values, index) => {
      const ratio = quartile(values) / quartile(base.rounds[index]);
      const missed = target !== undefined && Number(ratio.toFixed(2)) > target;
      if (missed) met = false;
      return `${micros(quartile(values))}  ${ratio.toFixed(2)}${missed ? "*" : " "}`;
    });
    lines.push([name, ...cells, target === undefined ? "" : `≤ ${target.toFixed(2)}`]);
  }
  return { text: align(lines), met };
}

/** A table without anything to hold the rows against. */
export function plainTable(rows) {
  const lines = [["", ...cases.map(({ title }) => title)]];
  for (const { name, rounds } of rows) lines.push([name, ...rounds.map((values) => micros(quartile(values)))]);
  return align(lines);
}

/** A table of milliseconds, a column for each of `{ title, times }`. */
export function timesTable(columns) {
  const names = Object.keys(columns[0].times);
  const rows = names.map((name) => [name, ...columns.map(({ times }) => `${times[name].toFixed(2)} ms`)]);
  return align([["", ...columns.map(({ title }) => title)], ...rows]);
}

function micros(value) {
  return `${value.toFixed(value < 100 ? 1 : 0)} µs`;
}

/** The middle one. */
export function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/**
 * A table of one server beside others, a line for each thing measured. Ratios are the first server's over the other's,
 * of rounds in which they took turns, so that what slows one round does not count.
 *
 * @param names the servers'; the first is what is held against the others
 * @param rows `{ title, unit, targets, rounds }`: for each server, the figures of the rounds, none where it was not
 *   measured; for each other server, undefined or `{ most }` or `{ least }`
 * @returns the table, and whether every target was met
 */
export function comparison(names, rows) {
  const blank = " ".repeat(7);
  let met = true;
  const lines = [["", names[0], ...names.slice(1).map((name) => name + blank), "target"]];
  for (const { title, unit, targets, rounds: [first, ...others] } of rows) {
    const limited = [];
    const cells = others.map((rounds, index) => {
      const target = targets[index];
      const known = Math.min(first.length, rounds.length);
      if (target && rounds.length > 0) limited.push(names[index + 1]);
      if (known === 0) return (rounds.length > 0 ? figure(median(rounds), unit) : "–") + blank;
      const ratio = Number(median(rounds.slice(0, known).map((value, round) => first[round] / value)).toFixed(2));
      const missed = target !== undefined && (ratio > target.most || ratio < target.least);
      if (missed) met = false;
      return `${figure(median(rounds), unit)}  ${ratio.toFixed(2)}${missed ? "*" : " "}`;
    });
    const { most, least } = targets.find((target) => target) ?? {};
    const limit = most === undefined ? `≥ ${least?.toFixed(2)}` : `≤ ${most.toFixed(2)}`;
    lines.push([
      title,
      first.length > 0 ? figure(median(first), unit) : "–",
      ...cells,
      limited.length > 0 ? `${limit} of ${limited.length > 1 ? "each" : limited[0]}` : "",
    ]);
  }
  return { text: align(lines), met };
}

function figure(value, unit) {
  if (unit === "µs") return micros(value);
  return `${value.toFixed(unit === "GB/s" ? 2 : 0)} ${unit}`;
}

/** The first column to the left, the others to the right, under a line. */
function align(lines) {
  const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
  const rows = lines.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[column]) : cell.padStart(widths[column])).join("   ")
      .trimEnd()
  );
  rows.splice(1, 0, widths.map((width) => "─".repeat(width)).join("───"));
  return rows.map((row) => `  ${row}`).join("\n");
}

/** Shows how far the run is, on a line of its own that is written over; nothing where nobody watches. */
export function progress(text) {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[2K${text}`);
}
