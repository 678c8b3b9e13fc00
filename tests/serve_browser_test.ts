import { assert, assertEquals, assertGreater } from "@std/assert";
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import { type FetchHandler, MemoryStore, SessionCache } from "../mod.ts";
import { needing, pathOf } from "./outside_programs.ts";
import { decodePng } from "./png.ts";
import { Served } from "./serve_support.ts";
import { Program, TemporaryFolder, within } from "./server_support.ts";
import { credentials } from "./support.ts";

const { describe, it } = needing(["chromium"], "chromium");

const size = { width: 800, height: 600 };
const style = "body { background: #123456; color: #fedcba; }";

describe("Chromium and serve()", () => {
  it("load a page over HTTP/2, and resume after the server's restart", async () => {
    // The same cache for both servers, as with a store that others share.
    const sessions = new SessionCache({ store: new MemoryStore(), durableTickets: true });
    const page: FetchHandler = (_request, { tls }) => {
      const facts = `${tls.alpnProtocol}, ${tls.isResumed ? "resumed" : "a full handshake"}`;
      // An icon within the page: Chromium asks for no other.
      const html =
        `<!doctype html><link rel="icon" href="data:,"><title>Sessions</title><style>${style}</style><h1>${facts}</h1>`;
      return new Response(html, { headers: { "content-type": "text/html", "cache-control": "no-store" } });
    };
    const first = await Served.start(page, { sessions });
    const { port } = first;
    await using browser = await Browser.start();
    try {
      assertEquals(await browser.textOf(`https://localhost:${port}/`), "h2, a full handshake");
    } finally {
      await first[Symbol.asyncDispose]();
    }

    await using second = await Served.start(page, { sessions, port });
    assertEquals(await browser.textOf(`https://localhost:${port}/`), "h2, resumed");
    assertEquals([first.errors, second.errors], [[], []]);
    assert(second.server.stats().resumed >= 1);

    const { width, height, colours } = decodePng(await browser.screenshot());
    assertEquals({ width, height }, size);
    const [background = 0, text = 0] = ["#123456", "#fedcba"].map((colour) => colours.get(colour));
    assertGreater(background, width * height / 2);
    // Of a heading in large letters, not counting their edges.
    assertGreater(text, 500);
  });
});

/** A page in a Chromium of its own, by the DevTools protocol. */
class Browser {
  readonly #folder: TemporaryFolder;
  readonly #program: Program;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (message: Message) => void>();
  readonly #events = new Map<string, () => void>();
  #lastId = 0;
  #session: string | undefined;

  private constructor(folder: TemporaryFolder, program: Program, socket: WebSocket) {
    this.#folder = folder;
    this.#program = program;
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      const message: Message = JSON.parse(data);
      if (message.id !== undefined) this.#answers.get(message.id)?.(message);
      else if (message.method !== undefined) this.#events.get(message.method)?.();
    };
  }

  static async start(): Promise<Browser> {
    const folder = new TemporaryFolder();
    const key = new X509Certificate(credentials.certificate).publicKey.export({ type: "spki", format: "der" });
    const options = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      "--no-proxy-server",
      "--host-resolver-rules=MAP localhost 127.0.0.1",
      `--user-data-dir=${folder.file("profile")}`,
      `--ignore-certificate-errors-spki-list=${createHash("sha256").update(key).digest("base64")}`,
      "--remote-debugging-port=0",
      "--remote-allow-origins=*",
    ];
    // Chromium says on stderr where it listens; Program looks at stdout.
    const script = 'exec "$0" "$@" 2>&1';
    const program = new Program("/bin/sh", ["-c", script, pathOf("chromium")!, ...options, "about:blank"], {
      env: { HOME: folder.path, TMPDIR: folder.path },
    });
    try {
      const [, address] = await program.writes(/DevTools listening on (ws:\S+)\s/);
      const socket = new WebSocket(address!);
      await within(
        new Promise<void>((resolve, reject) => {
          socket.onopen = () => resolve();
          socket.onerror = () => reject(new Error("Chromium refuses its WebSocket"));
        }),
        "Chromium's WebSocket",
      );
      const browser = new Browser(folder, program, socket);
      const { targetId } = await browser.#call("Target.createTarget", { url: "about:blank" });
      const { sessionId } = await browser.#call("Target.attachToTarget", { targetId, flatten: true });
      browser.#session = String(sessionId);
      await browser.#call("Page.enable");
      await browser.#call("Emulation.setDeviceMetricsOverride", { ...size, deviceScaleFactor: 1, mobile: false });
      return browser;
    } catch (error) {
      await program[Symbol.asyncDispose]();
      folder[Symbol.dispose]();
      throw error;
    }
  }

  /** Loads a page, and tells what it shows. */
  async textOf(url: string): Promise<string> {
    const loaded = new Promise<void>((resolve) => this.#events.set("Page.loadEventFired", resolve));
    const { errorText } = await this.#call("Page.navigate", { url });
    if (errorText !== undefined) throw new Error(`Chromium cannot load ${url}: ${errorText}`);
    await within(loaded, `Chromium to load ${url}`);
    const answer = await this.#call("Runtime.evaluate", { expression: "document.body.innerText.trim()" });
    return String((answer.result as { value: unknown }).value);
  }

  /** A picture of the page, as PNG. */
  async screenshot(): Promise<Buffer> {
    const { data } = await this.#call("Page.captureScreenshot", { format: "png" });
    return Buffer.from(String(data), "base64");
  }

  async #call(method: string, params: Record<string, unknown> = {}): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const answered = new Promise<Message>((resolve) => this.#answers.set(id, resolve));
    this.#socket.send(JSON.stringify({ id, method, params, sessionId: this.#session }));
    const { result, error } = await within(answered, `Chromium's answer to ${method}`);
    this.#answers.delete(id);
    if (!result) throw new Error(`Chromium refuses ${method}: ${error?.message}`);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#socket.onclose = () => resolve());
    try {
      // It ends its own processes, which a killed one would leave behind in the folder.
      this.#socket.send(JSON.stringify({ id: ++this.#lastId, method: "Browser.close" }));
      await within(closed, "Chromium's WebSocket to close");
      await this.#program.end();
    } finally {
      await this.#program[Symbol.asyncDispose]();
      this.#folder[Symbol.dispose]();
    }
  }
}

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly result?: Record<string, unknown>;
  readonly error?: { message: string };
}
