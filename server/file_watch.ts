import { clearTimeout, setTimeout } from "node:timers";
import { looksOf } from "./files.ts";

/**
 * Tells when files have changed and are done changing. It asks the file system now and then, for a few files at a time:
 * that also sees what a symbolic link leads to, which is how certificates are renewed.
 */
export class FileWatch {
  readonly #files: () => readonly (string | URL)[];
  readonly #milliseconds: number;
  readonly #changed: () => Promise<void>;
  /** What the files looked like before they were loaded. */
  #loaded: string;
  #latest = "";
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isClosed = false;

  /**
   * @param changed done when the files are loaded anew. It must not reject
   * @param loaded what `looksOf` answered before the files were loaded: what has changed since is seen
   */
  constructor(
    files: () => readonly (string | URL)[],
    milliseconds: number,
    changed: () => Promise<void>,
    loaded: string,
  ) {
    this.#files = files;
    this.#milliseconds = milliseconds;
    this.#changed = changed;
    this.#loaded = loaded;
    this.#wait();
  }

  /** Looks no more. */
  close(): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const looks = await looksOf(this.#files());
    if (this.#isClosed) return;
    // A certificate and its key are not written at once: what is in motion is left alone.
    if (looks !== this.#loaded && looks === this.#latest) {
      this.#loaded = looks;
      await this.#changed();
    }
    this.#latest = looks;
    if (!this.#isClosed) this.#wait();
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#look(), this.#milliseconds);
    this.#timer.unref();
  }
}
