import { closeSync, openSync } from "node:fs";
import process from "node:process";
import { clearTimeout, setTimeout } from "node:timers";

/** How often is looked for descriptors, in milliseconds. While there are none, at most half as often. */
const interval = 500;

/** A file that is always there. */
const anyFile = process.platform === "win32" ? "NUL" : "/dev/null";

/**
 * Notices that there are no descriptors left for new connections, where the runtime does not say so: Node closes such
 * connections in silence, and Bun asks the system again and again.
 */
export class DescriptorWatch {
  readonly #onShortage: (cause: unknown) => void;
  readonly #holdsSpare: boolean;
  #spare: number | undefined;
  #isShort = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param onShortage called when there are none, and while that lasts about once a second
   * @param holdsSpare whether to keep one back, so that connections that wait can be accepted then, and closed
   */
  constructor(onShortage: (cause: unknown) => void, holdsSpare: boolean) {
    this.#onShortage = onShortage;
    this.#holdsSpare = holdsSpare;
    this.#probe();
    this.#wait();
  }

  /** Whether there is none for a connection that has just been accepted. */
  get isShort(): boolean {
    if (this.#isShort) this.#probe();
    return this.#isShort;
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#giveBack();
  }

  #wait(): void {
    this.#timer = setTimeout(() => {
      const cause = this.#probe();
      this.#wait();
      if (cause) this.#onShortage(cause);
    }, this.#isShort ? 2 * interval : interval).unref();
  }

  /** Opens one more, for a moment. Answers why not. */
  #probe(): unknown {
    try {
      if (this.#holdsSpare) this.#spare ??= openSync(anyFile, "r");
      closeSync(openSync(anyFile, "r"));
      this.#isShort = false;
      return undefined;
    } catch (error) {
      const { code } = error as { code?: string };
      // Else the file is not there: that says nothing.
      this.#isShort = code === "EMFILE" || code === "ENFILE";
      if (!this.#isShort) return undefined;
      this.#giveBack();
      return error;
    }
  }

  #giveBack(): void {
    if (this.#spare !== undefined) closeSync(this.#spare);
    this.#spare = undefined;
  }
}
