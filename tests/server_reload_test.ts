/** Reloading many certificates: how much is made anew, and in how many pieces; and what comes between. */

import { assert, assertEquals, assertRejects } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { readFileSync, writeFileSync } from "node:fs";
import { setImmediate } from "node:timers";
import { type Credentials, listen, selfSigned, type Server } from "../mod.ts";
import { held, library } from "../ssl/library.ts";
import { looksOf } from "../server/files.ts";
import { FileWatch } from "../server/file_watch.ts";
import { TemporaryFolder, until, within } from "./server_support.ts";
import { Client, leavingNothingLater, Recording } from "./socket_support.ts";

const many = 300;
const nothing = {};

let folder: TemporaryFolder;
let pool: Credentials[];
const certificateFile = (index: number) => folder.file(`${index}.pem`);
const privateKeyFile = (index: number) => folder.file(`${index}.key`);
const nameOf = (index: number) => `host${index}.example`;
const options = (count: number) => ({
  certificates: Array.from({ length: count }, (_, index) => ({
    certificateFile: certificateFile(index),
    privateKeyFile: privateKeyFile(index),
  })),
  hostname: "127.0.0.1",
});

function write(index: number, credentials = selfSigned([nameOf(index)])): void {
  writeFileSync(certificateFile(index), credentials.certificate);
  writeFileSync(privateKeyFile(index), credentials.privateKey);
}

beforeAll(() => {
  folder = new TemporaryFolder();
  for (let index = 0; index < many; index++) write(index);
  pool = ["a.example", "b.example"].map((name) => selfSigned([name]));
});
afterAll(() => folder[Symbol.dispose]());

/** How many contexts are made, at most at a time, and how often others have their turn, while something is done. */
async function observing(act: () => Promise<unknown>): Promise<{ turns: number; most: number }> {
  let isOver = false;
  const before = held.contexts;
  let turns = 0, most = 0;
  const turn = () => {
    turns++;
    most = Math.max(most, held.contexts - before);
    if (!isOver) setImmediate(turn);
  };
  turn();
  await act().finally(() => isOver = true);
  most = Math.max(most, held.contexts - before);
  return { turns, most };
}

async function certificateOf(server: Server, serverName: string): Promise<string> {
  using client = new Client({ verify: "none" });
  const recording = new Recording();
  const socket = await client.connect(server.port, recording.handlers, { serverName });
  const { fingerprint256 } = socket.peerCertificate!;
  socket.end();
  await within(recording.closed, "the connection to close");
  return fingerprint256;
}

describe("A server with hundreds of certificates", () => {
  it(
    "starts in pieces, makes what has changed anew and nothing else, and lets go of what it replaces",
    leavingNothingLater(async () => {
      let server: Server | undefined;
      const start = await observing(async () => server = await listen(options(many), nothing));
      assert(start.turns > 10, `${start.turns} turns for others`);
      try {
        const contexts = held.contexts;
        const [first, other] = [await certificateOf(server!, nameOf(0)), await certificateOf(server!, nameOf(200))];
        const { turns, most } = await observing(() => server!.reload());
        assert(turns > 3, `${turns} turns for others`);
        assertEquals(most, 0);

        write(200);
        const one = await observing(() => server!.reload());
        assert(one.most <= 1, `${one.most} contexts made anew`);
        assertEquals(held.contexts, contexts);
        assertEquals(await certificateOf(server!, nameOf(0)), first);
        assertEquals(await certificateOf(server!, nameOf(200)) === other, false);
        // The first is no different: it may change while others stay.
        write(0);
        await server!.reload();
        assertEquals(await certificateOf(server!, nameOf(0)) === first, false);
        assertEquals(held.contexts, contexts);
      } finally {
        await server!.close();
      }
    }),
  );
});

describe("A server whose contexts are slow to free", () => {
  /** How many SSL_CTX are freed while something is done, and how many at most without a turn for others. */
  async function freed(act: () => Promise<unknown>): Promise<{ all: number; inARow: number }> {
    const opened = library() as { ssl: ReturnType<typeof library>["ssl"] };
    const { ssl } = opened;
    let all = 0, row = 0, inARow = 0;
    opened.ssl = {
      ...ssl,
      SSL_CTX_free: (context) => {
        const end = performance.now() + 1;
        while (performance.now() < end);
        all++;
        inARow = Math.max(inARow, ++row);
        ssl.SSL_CTX_free(context);
      },
    };
    let isOver = false;
    const turn = () => {
      row = 0;
      if (!isOver) setImmediate(turn);
    };
    turn();
    try {
      await act();
      return { all, inARow };
    } finally {
      isOver = true;
      opened.ssl = ssl;
    }
  }

  it(
    "gives them back in pieces, when all are replaced and when it closes",
    leavingNothingLater(async () => {
      const server = await listen(options(100), nothing);
      try {
        const reload = await freed(() => server.reload({ certificates: options(50).certificates, sessionTimeout: 60 }));
        assertEquals(reload.all, 100);
        assert(reload.inARow < 20, `${reload.inARow} freed in a row by a reload`);
        const close = await freed(() => server.close({ grace: 0 }));
        assertEquals(close.all, 50);
        assert(close.inARow < 20, `${close.inARow} freed in a row by close()`);
      } finally {
        await server.close();
      }
    }),
  );
});

describe("Server.reload()", () => {
  const small = 40;

  it(
    "that cannot use one file of many leaves all as it was",
    leavingNothingLater(async () => {
      await using server = await listen(options(small), nothing);
      const contexts = held.contexts;
      const before = await certificateOf(server, nameOf(3));
      const good = readFileSync(certificateFile(small - 1));
      write(3);
      writeFileSync(certificateFile(small - 1), "nonsense");
      await assertRejects(
        () => server.reload(),
        Error,
        `from the file ${certificateFile(small - 1)}: there is no line`,
      );
      assertEquals([held.contexts, await certificateOf(server, nameOf(3))], [contexts, before]);
      writeFileSync(certificateFile(small - 1), good);
      await server.reload();
      assertEquals(await certificateOf(server, nameOf(3)) === before, false);
      assertEquals(held.contexts, contexts);
    }),
  );

  it(
    "called several times at once does one after the other, and the last one counts",
    leavingNothingLater(async () => {
      await using server = await listen({ ...options(small), alpnProtocols: ["h2"] }, nothing);
      const [a, b] = pool;
      const wrong = { certificate: a!.certificate, privateKey: b!.privateKey };
      const reloads = [server.reload(), server.reload(a), server.reload(wrong), server.reload(b)];
      const outcomes = await Promise.allSettled(reloads);
      assertEquals(outcomes.map(({ status }) => status), ["fulfilled", "fulfilled", "rejected", "fulfilled"]);
      using client = new Client({ verify: "none", alpnProtocols: ["h2"] });
      const recording = new Recording();
      const socket = await client.connect(server.port, recording.handlers);
      assertEquals([socket.peerCertificate!.subject, socket.alpnProtocol], ["CN=b.example", "h2"]);
      socket.end();
      await within(recording.closed, "the connection to close");
    }),
  );

  it(
    "that is under way when the server closes is given up, and leaves nothing",
    leavingNothingLater(async () => {
      const server = await listen(options(small), nothing);
      for (let index = 0; index < small; index++) write(index);
      const reloading = server.reload().then(() => "done", ({ message }: Error) => message);
      await server.close();
      const outcome = await reloading;
      // The server may close a moment later than the last certificate is loaded.
      assertEquals(outcome === "done" || outcome === "Cannot reload certificates: the server is closed", true);
      await assertRejects(() => server.reload(), Error, "the server is closed");
    }),
  );

  it(
    "changes what all have in common for all of them",
    leavingNothingLater(async () => {
      await using server = await listen(options(3), nothing);
      await server.reload({ maxVersion: "TLSv1.2" });
      for (let index = 0; index < 3; index++) {
        using client = new Client({ verify: "none" });
        const recording = new Recording();
        const socket = await client.connect(server.port, recording.handlers, { serverName: nameOf(index) });
        assertEquals(socket.protocol, "TLSv1.2");
        socket.end();
        await within(recording.closed, "the connection to close");
      }
    }),
  );

  it(
    "goes from one name to several and back",
    leavingNothingLater(async () => {
      const [a, b] = pool;
      await using server = await listen({ ...a!, hostname: "127.0.0.1" }, nothing);
      const first = await certificateOf(server, "b.example");
      await server.reload({ certificates: [a!, b!] });
      assertEquals(await certificateOf(server, "a.example"), first);
      assertEquals(await certificateOf(server, "b.example") === first, false);
      await server.reload({ certificates: [b!, a!] });
      assertEquals(await certificateOf(server, "a.example"), first);
      assertEquals(await certificateOf(server, "other.example") === first, false);
      await server.reload({ certificates: [a!] });
      assertEquals(await certificateOf(server, "b.example"), first);
    }),
  );
});

describe("FileWatch", () => {
  it("sees one change among hundreds of files, a change while it was loaded, and nothing where there is none", async () => {
    const files = Array.from({ length: many }, (_, index) => certificateFile(index));
    const loaded = await looksOf(files);
    write(77);
    let changes = 0;
    const watch = new FileWatch(() => files, 5, () => Promise.resolve(void changes++), loaded);
    await until(() => changes === 1, "the change");
    write(78);
    await until(() => changes === 2, "the second change");
    assertEquals(await looksOf(files), await looksOf(files));
    watch.close();
    assertEquals(changes, 2);
  });

  it("does not look again before what has changed is loaded", async () => {
    const file = certificateFile(1);
    let underWay = 0, most = 0, calls = 0;
    let release = () => {};
    const changed = async () => {
      most = Math.max(most, ++underWay);
      calls++;
      await new Promise<void>((resolve) => release = resolve);
      underWay--;
    };
    const watch = new FileWatch(() => [file], 1, changed, "");
    await until(() => calls === 1, "the first");
    write(1);
    release();
    await until(() => calls === 2, "the second");
    release();
    watch.close();
    assertEquals(most, 1);
  });
});

describe("reload()", () => {
  it("refuses what it cannot change, instead of leaving it as it is in silence", async () => {
    await using server = await listen({ ...pool[0]!, hostname: "127.0.0.1" }, nothing);
    for (const changes of [{ watch: true }, { port: 0 }, { idleTimeout: 1 }] as object[]) {
      await assertRejects(
        () => server.reload(changes),
        TypeError,
        `the option ${Object.keys(changes)[0]} with reload()`,
      );
    }
  });
});
