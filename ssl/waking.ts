import { throwAsCallback } from "./calls.ts";

/** Calls a transport's function, whom nobody can be told of a failure, and keeps what it throws for a call that can be. */
export class Waking {
  #failure: { readonly error: unknown } | undefined;

  /** Calls it. What it throws, or its Promise is rejected with, is kept; of several the first. */
  call(onWake: () => unknown): void {
    try {
      const answer = onWake();
      if (answer !== undefined) Promise.resolve(answer).catch((error) => this.#keep(error));
    } catch (error) {
      this.#keep(error);
    }
  }

  /** Throws what was kept, once. */
  throwFailure(): void {
    if (!this.#failure) return;
    const { error } = this.#failure;
    this.#failure = undefined;
    throwAsCallback(error);
  }

  #keep(error: unknown): void {
    this.#failure ??= { error };
  }
}
