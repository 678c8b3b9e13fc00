import { type Stats, statSync } from "node:fs";
import { stat } from "node:fs/promises";
import { clearTimeout, setTimeout } from "node:timers";

/**
 * Tells when files have changed and are done changing. It asks the file system now and then: that also sees what a
 * symbolic link leads to, which is how certificates are renewed.
 */
export class FileWatch {
  readonly #files: () => readonly string[];
  readonly #milliseconds: number;
  readonly #changed: () => void;
  /** What the files looked like when they were loaded. */
  #loaded: string;
  #latest = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /** The files have just been loaded: what changes from now on is seen. */
  constructor(files: () => readonly string[], milliseconds: number, changed: () => void) {
    this.#files = files;
    this.#milliseconds = milliseconds;
    this.#changed = changed;
    this.#loaded = files().map((file) => {
      try {
        return lookOf(file, statSync(pathOf(file)));
      } catch {
        return lookOf(file);
      }
    }).join("\n");
    this.#wait();
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    // What is missing may come back.
    const looking = this.#files().map((file) =>
      stat(pathOf(file)).then((stats) => lookOf(file, stats), () => lookOf(file))
    );
    const looks = (await Promise.all(looking)).join("\n");
    if (this.#isClosed) return;
    // A certificate and its key are not written at once: what is in motion is left alone.
    if (looks !== this.#loaded && looks === this.#latest) {
      this.#loaded = looks;
      this.#changed();
    }
    this.#latest = looks;
    this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#look(), this.#milliseconds);
    this.#timer.unref();
  }
}

function pathOf(file: string): string | URL {
  return file.startsWith("file:") ? new URL(file) : file;
}

function lookOf(file: string, stats?: Stats): string {
  return stats ? `${file} ${stats.mtimeMs} ${stats.size} ${stats.ino}` : `${file} missing`;
}
