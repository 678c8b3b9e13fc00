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
  #loaded: string | undefined;
  #latest = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  constructor(files: () => readonly string[], milliseconds: number, changed: () => void) {
    this.#files = files;
    this.#milliseconds = milliseconds;
    this.#changed = changed;
    this.#look();
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const looks = (await Promise.all(this.#files().map(lookOf))).join("\n");
    if (this.#isClosed) return;
    this.#loaded ??= looks;
    // A certificate and its key are not written at once: what is in motion is left alone.
    if (looks !== this.#loaded && looks === this.#latest) {
      this.#loaded = looks;
      this.#changed();
    }
    this.#latest = looks;
    this.#timer = setTimeout(() => this.#look(), this.#milliseconds);
    this.#timer.unref();
  }
}

async function lookOf(file: string): Promise<string> {
  try {
    const { mtimeMs, size, ino } = await stat(file.startsWith("file:") ? new URL(file) : file);
    return `${file} ${mtimeMs} ${size} ${ino}`;
  } catch {
    // It may come back.
    return `${file} missing`;
  }
}
