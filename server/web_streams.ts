import type { Buffer } from "node:buffer";
import type { Duplex } from "node:stream";

/** A connection as a pair of web streams. */
export interface WebStreams {
  /** What the other side sends. To cancel it lets the rest go unread; it does not end the connection. */
  readonly readable: ReadableStream<Uint8Array>;
  /** What is sent. To close it ends this side; to abort it closes the connection at once. */
  readonly writable: WritableStream<Uint8Array>;
}

/** Up to this many bytes wait for a slow reader before the other side is held back. */
const highWaterMark = 64 * 1024;

/**
 * A node:stream Duplex as web streams. By hand, as the runtimes' own `Duplex.toWeb` differ in what an end, an error and
 * a cancelled reader do.
 */
export function webStreams(stream: Duplex): WebStreams {
  // Each of the two ends by itself.
  stream.allowHalfOpen = true;
  let readable!: ReadableStreamDefaultController<Uint8Array> | undefined;
  let writable!: WritableStreamDefaultController | undefined;
  const streams = {
    readable: new ReadableStream<Uint8Array>({
      start: (controller) => {
        readable = controller;
        stream.pause();
      },
      pull: () => void stream.resume(),
      cancel: () => {
        readable = undefined;
        stream.resume();
      },
    }, { highWaterMark, size: (bytes) => bytes!.length }),
    writable: new WritableStream<Uint8Array>({
      start: (controller) => void (writable = controller),
      write: (bytes) => settled((done) => void stream.write(bytes, done)),
      close: () => settled((done) => void stream.end(done)),
      abort: (reason) => void stream.destroy(reason instanceof Error ? reason : new Error(String(reason))),
    }),
  };
  let failure: Error | undefined;
  stream
    .on("data", (chunk: Buffer) => {
      // A plain Uint8Array, whose slice() copies.
      readable?.enqueue(new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.length));
      if (readable && readable.desiredSize! <= 0) stream.pause();
    })
    .on("end", () => {
      readable?.close();
      readable = undefined;
    })
    .on("error", (error) => failure = error)
    .on("close", () => {
      const error = failure ?? new Error("The connection was closed before its end");
      readable?.error(error);
      if (!stream.writableFinished) writable?.error(error);
    });
  return streams;
}

/** A Promise for a callback of node:stream. */
function settled(start: (done: (error?: Error | null) => void) => void): Promise<void> {
  return new Promise((resolve, reject) => start((error) => error ? reject(error) : resolve()));
}
