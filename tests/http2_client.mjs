// An HTTP/2 client, node:http2 on Node's own TLS. Does what it is told to, writes what it hears.
import { once } from "node:events";
import { connect } from "node:http2";
import process from "node:process";
import { text } from "node:stream/consumers";

const [port, what, version] = process.argv.slice(2);

function open(options = {}) {
  const limits = { minVersion: version, maxVersion: version, rejectUnauthorized: false };
  const session = connect(`https://localhost:${port}`, { ...limits, ...options });
  session.on("error", (error) => console.log(`failed ${error.message}`));
  session.on("goaway", (code) => console.log(`goaway ${code}`));
  session.on("close", () => console.log("closed"));
  return session;
}

const get = async (session, path) => await text(session.request({ ":path": path }));

const actions = {
  /** Several requests at once, each with a body. */
  async several() {
    const session = open();
    const echoes = Array.from({ length: 20 }, async (_, index) => {
      const stream = session.request({ ":method": "POST", ":path": "/echo" });
      stream.end(`${index} `.repeat(10_000));
      return await text(stream) === `${index} `.repeat(10_000);
    });
    console.log(`same ${(await Promise.all(echoes)).filter(Boolean).length}`);
    session.close();
  },

  /** Says each word when it has heard the one before it. */
  async talk() {
    const session = open();
    const stream = session.request({ ":method": "POST", ":path": "/echo" });
    const [headers] = await Promise.all([once(stream, "response"), stream.write("one")]);
    console.log(`status ${headers[0][":status"]}`);
    for (const next of ["two", "three", undefined]) {
      const [word] = await once(stream, "data");
      console.log(`heard ${word}`);
      if (next) stream.write(next);
    }
    stream.end();
    stream.resume();
    await once(stream, "end");
    console.log("ended");
    session.close();
  },

  /** Asks for what takes long, and stays when it has come. */
  async wait() {
    const session = open();
    console.log(`answer ${await get(session, "/quick")}`);
    console.log(`answer ${await get(session, "/slow")}`);
  },

  /** Two connections, the second with the session of the first. */
  async resume() {
    const first = open();
    let ticket;
    first.socket.on("session", (session) => ticket = session);
    console.log(`resumed ${JSON.parse(await get(first, "/")).tls.isResumed}`);
    first.close();
    await once(first, "close");
    const second = open({ session: ticket });
    console.log(`resumed ${JSON.parse(await get(second, "/")).tls.isResumed}`);
    console.log(`reused ${second.socket.isSessionReused()}`);
    second.close();
  },
};

await actions[what]();
