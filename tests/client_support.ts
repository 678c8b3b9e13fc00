/** A client that keeps its sessions by itself, for the tests. */

import { connect, type ConnectOptions, type ProtocolVersion } from "../mod.ts";
import { within } from "./server_support.ts";
import { credentials } from "./support.ts";

/** What a connection was like. */
export interface Visit {
  readonly resumed: boolean;
  readonly protocol: ProtocolVersion;
}

/** Connects to a server on this machine that answers, says something, hears all of the answer, and ends. */
export async function visit(port: number, options: Partial<ConnectOptions> = {}, request = "hello"): Promise<Visit> {
  const { visit } = await exchange(port, options, request);
  return visit;
}

/** The same, with the answer. */
export async function exchange(
  port: number,
  options: Partial<ConnectOptions>,
  request: string,
): Promise<{ visit: Visit; answer: string }> {
  const trust = options.context ? {} : { certificateAuthorities: credentials.certificate };
  const socket = await within(
    connect({ hostname: "127.0.0.1", serverName: "localhost", port, ...trust, ...options }),
    "a connection",
  );
  const visit = { resumed: socket.isSessionReused(), protocol: socket.getProtocol() };
  let answer = "";
  socket.on("data", (bytes) => {
    answer += bytes;
    // An echo is over; another answer ends by itself.
    if (answer === request) socket.end();
  });
  const closed = new Promise<void>((resolve, reject) => socket.once("close", resolve).once("error", reject));
  socket.once("end", () => socket.end());
  socket.write(request);
  await within(closed, "the connection to close");
  return { visit, answer };
}

/** Moves the clock that JavaScript sees, and not C's, for the time of a call. */
export async function later<T>(milliseconds: number, call: () => Promise<T>): Promise<T> {
  const now = Date.now;
  Date.now = () => now.call(Date) + milliseconds;
  try {
    return await call();
  } finally {
    Date.now = now;
  }
}
