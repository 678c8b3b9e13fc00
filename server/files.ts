import { Buffer } from "node:buffer";
import type { Stats } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import type { FileReader } from "../ssl/loaded_options.ts";

/** So many files are asked for at a time: a thousand at once would take all of a runtime's threads for files. */
const atATime = 8;

/** What files held when they were read, all of them before anything is made of one. */
export class ReadFiles {
  readonly #contents = new Map<string, Buffer | Error>();

  /** Reads them, each once. What cannot be read is an error for who asks for it. */
  static async of(files: readonly (string | URL)[]): Promise<ReadFiles> {
    const read = new ReadFiles();
    await eachOf(distinct(files), async (file) => {
      const content = await readFile(pathOf(file)).catch((error: Error) => error);
      read.#contents.set(file, content);
    });
    return read;
  }

  /** Answers what a file holds, or throws why it could not be read. */
  readonly reader: FileReader = (file) => {
    const content = this.#contents.get(String(file));
    if (Buffer.isBuffer(content)) return content;
    throw content ?? new Error("it was not read");
  };

  /** Forgets them: there are private keys among them. */
  wipe(): void {
    for (const content of this.#contents.values()) if (Buffer.isBuffer(content)) content.fill(0);
    this.#contents.clear();
  }
}

/** What files look like from outside, in one text that changes with each of them. */
export async function looksOf(files: readonly (string | URL)[]): Promise<string> {
  const looks = new Map<string, string>();
  const all = distinct(files);
  // What is missing may come back.
  await eachOf(all, async (file) => {
    looks.set(file, await stat(pathOf(file)).then((stats) => lookOf(file, stats), () => `${file} missing`));
  });
  return all.map((file) => looks.get(file)).join("\n");
}

function distinct(files: readonly (string | URL)[]): string[] {
  return [...new Set(files.map(String))];
}

function pathOf(file: string): string | URL {
  return file.startsWith("file:") ? new URL(file) : file;
}

function lookOf(file: string, { mtimeMs, size, ino }: Stats): string {
  return `${file} ${mtimeMs} ${size} ${ino}`;
}

async function eachOf<T>(items: readonly T[], act: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  await Promise.all(Array.from({ length: Math.min(atATime, items.length) }, async () => {
    for (const item of left) await act(item);
  }));
}
