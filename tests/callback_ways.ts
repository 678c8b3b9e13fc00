/** Every way in which libssl comes to call back, by the function of libssl's that does. */

import {
  MemoryStore,
  Session,
  SessionCache,
  SessionCacheMode,
  type SslConnection,
  SslContext,
  type SslContextOptions,
  SslOption,
} from "../mod.ts";
import { offerSession } from "../ssl/connection.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { asking, ClientPointer, silently } from "./control_messages.ts";
import { bytes, Contexts, credentials, Link, type Version } from "./support.ts";

// An answer of "successful" with nothing in it, RFC 6960.
const ocspResponse = Uint8Array.of(0x30, 0x07, 0x0a, 0x01, 0x00, 0xa0, 0x02, 0x30, 0x00);

/** Contexts with every callback that there is. */
class Talkative extends Contexts {
  readonly pointer: ClientPointer;

  constructor(version: Version, server: SslContextOptions = {}) {
    const pointer = new ClientPointer();
    const common = { alpnProtocols: ["http/1.1"], keylog: pointer.note };
    super(
      version,
      { ...common, ocspResponse, keylog: () => {}, numTickets: 1, ...server },
      { ...common, verify: "require", rejectUnauthorized: false },
    );
    this.pointer = pointer;
    const setStatusType = 65, ocsp = 1; // SSL_CTRL_SET_TLSEXT_STATUS_REQ_TYPE
    library().ssl.SSL_CTX_ctrl(contextPointer(this.client), setStatusType, ocsp, null);
    this.server.setClientHelloCallback(() => "continue");
    this.server.setGenerateSessionIdCallback(() => undefined);
    this.server.setNewSessionCallback(() => false);
    this.server.setGetSessionCallback(() => undefined);
    this.server.setRemoveSessionCallback(() => {});
    this.client.setRemoveSessionCallback(() => {});
  }
}

/** Some way for libssl to call back; it leaves nothing behind. */
export const ways: Record<string, (version: Version) => void> = {
  "handshakes, full and resumed": (version) => {
    using contexts = new Talkative(version);
    contexts.visit(contexts.resumable());
    // From the outside: its get callback is asked.
    contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
    contexts.visit(contexts.sessions.at(-1));
  },
  "handshakes by reading": (version) => {
    using contexts = new Talkative(version);
    const known = contexts.resumable();
    contexts.server.sessionCacheMode = SessionCacheMode.Server | SessionCacheMode.NoInternal;
    for (const session of [undefined, known]) {
      using link = contexts.link(session);
      for (let turn = 0; turn < 6; turn++) {
        read(link.client);
        link.toServer();
        read(link.server);
        link.toClient();
      }
      if (!link.server.isEstablished) throw new Error("The handshake does not end");
      link.close();
    }
  },
  "a client's certificate that is verified in another context": (version) => {
    const asks: SslContextOptions = { verify: "require", certificateAuthorities: credentials.certificate };
    using contexts = new Talkative(version, { verify: "request", rejectUnauthorized: false });
    using other = SslContext.server({ ...credentials, ...asks, options: SslOption.NoTicket });
    using client = SslContext.client({ ...credentials, verify: "none" });
    contexts.server.setClientHelloCallback((_connection, hello) => {
      hello.useContext(other);
      return "continue";
    });
    for (const byReading of [true, false]) {
      using link = new Link({ server: contexts.server, client });
      link.client.handshake();
      link.toServer();
      link.server.handshake();
      link.toClient();
      link.client.handshake();
      link.toServer();
      if (byReading) read(link.server);
      else link.server.handshake();
      if (!link.server.isEstablished) throw new Error("The handshake does not end");
      link.toClient();
      link.close();
    }
  },
  "a client's certificate that is verified again when its session resumes": (version) => {
    const asks: SslContextOptions = { verify: "require", certificateAuthorities: credentials.certificate };
    using contexts = new Contexts(version, asks, credentials);
    new SessionCache({ store: new MemoryStore() }).attach(contexts.server);
    if (!contexts.visit(contexts.resumable()).resumed) throw new Error("It does not resume");
  },
  "messages after the handshake, and the goodbye": (version) => {
    using contexts = new Talkative(version);
    using link = contexts.link();
    link.connect();
    if (version === "TLSv1.3") {
      for (const kind of [silently, asking]) {
        contexts.pointer.updateKey(kind);
        link.client.handshake();
        link.toServer();
        read(link.server);
      }
      link.server.write(bytes("answer"));
    }
    link.server.shutdown();
    link.close();
  },
  "connections that end without a goodbye": (version) => {
    using contexts = new Talkative(version);
    contexts.link().connect().dispose();
  },
  "connections that end with rubbish": (version) => {
    using contexts = new Talkative(version);
    using link = contexts.link();
    link.connect();
    link.server.pushCiphertext(bytes("This is no record of TLS at all, is it?"));
    attempt(() => read(link.server));
  },
  "sessions from elsewhere": (version) => {
    using contexts = new Talkative(version);
    const session = contexts.resumable();
    using fromDer = Session.fromDer(session.toDer());
    using fromPem = Session.fromPem(session.toPem());
    if (fromDer.cipher !== fromPem.cipher) throw new Error("They differ");
  },
  "another session for a connection that has one": (version) => {
    using contexts = new Talkative(version);
    const session = contexts.resumable();
    using link = contexts.link();
    link.connect();
    offerSession(link.client, session);
  },
  "sessions that the context is told to remove": (version) => {
    using contexts = new Talkative(version);
    contexts.server.removeSession(contexts.resumable());
    contexts.visit();
    contexts.server.flushSessions("all");
  },
  "sessions for which there is no room": (version) => {
    using contexts = new Talkative(version);
    contexts.server.sessionCacheSize = 1;
    contexts.visit();
    contexts.visit();
    using link = contexts.link();
    for (let turn = 0; turn < 4; turn++) {
      link.client.handshake();
      link.toServer();
      read(link.server);
      link.toClient();
    }
    contexts.server.addSession(contexts.sessions[0]!);
    link.close();
  },
  "a context that ends with sessions in its cache": (version) => {
    using contexts = new Talkative(version);
    contexts.visit();
    contexts.server.dispose();
    using late = new Talkative(version);
    const link = late.link().connect();
    late.server.dispose();
    link.close();
  },
};

function read(connection: SslConnection): void {
  connection.read(new Uint8Array(100));
}

function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // It is what came before that counts.
  }
}
