import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** What goes wrong on the way to Redis. */
export type RedisFault = "none" | "slow" | "refusing" | "cut" | "disorder";

/** Stands between a client and Redis, and lets things go wrong on real connections. */
export class RedisProxy {
  fault: RedisFault = "none";
  /** How often something has gone wrong. */
  faults = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: number;

  private constructor(target: number) {
    this.#target = target;
    this.#server = createServer((client) => this.#connect(client));
  }

  static async start(target: number): Promise<RedisProxy> {
    const proxy = new RedisProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get url(): string {
    return `redis://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Something goes wrong from now on, also on connections that are there. */
  set(fault: RedisFault): void {
    this.fault = fault;
    if (fault === "refusing") { for (const socket of this.#sockets) socket.destroy(); }
  }

  #connect(client: Socket): void {
    if (this.fault === "refusing") {
      this.faults++;
      client.destroy();
      return;
    }
    const redis = connect(this.#target, "127.0.0.1");
    for (const socket of [client, redis]) {
      this.#sockets.add(socket);
      socket.on("error", () => {});
    }
    client.on("close", () => redis.destroy());
    redis.on("close", () => client.destroy());
    client.on("data", (bytes) => redis.write(bytes));
    let held: Uint8Array | undefined;
    redis.on("data", (bytes: Uint8Array) => {
      switch (this.fault) {
        case "slow":
          this.faults++;
          setTimeout(() => client.write(bytes), 400);
          break;
        case "cut":
          this.faults++;
          client.end(bytes.subarray(0, Math.floor(bytes.length / 2)));
          break;
        case "disorder":
          // The answer to one question comes as that to the next, and the other way round.
          this.faults++;
          if (held) client.write(bytes), client.write(held), held = undefined;
          else held = bytes;
          break;
        default:
          if (held) client.write(held), held = undefined;
          client.write(bytes);
      }
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }
}
