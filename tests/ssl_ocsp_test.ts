import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { afterAll, beforeAll, describe, it } from "@std/testing/bdd";
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { pathToFileURL } from "node:url";
import {
  type Credentials,
  type Session,
  SslConnection,
  SslContext,
  type SslContextOptions,
  SslOption,
} from "../mod.ts";
import type { Pointer } from "../ffi/types.ts";
import { activeCaller } from "../ssl/calls.ts";
import { contextPointer } from "../ssl/context.ts";
import { library } from "../ssl/library.ts";
import { Authority } from "./authority.ts";
import { leavingNothing } from "./counts.ts";
import { needing } from "./outside_programs.ts";
import { TemporaryFolder } from "./server_support.ts";
import { bytes, Contexts, versions } from "./support.ts";

let root: Authority;
let rsa: Credentials & { ocspResponse: Uint8Array };
let ec: Credentials & { ocspResponse: Uint8Array };

function issue(type: "RSA" | "EC"): typeof rsa {
  const credentials = root.issue(["localhost"], type);
  return { ...credentials, ocspResponse: root.ocspResponse(credentials.certificate) };
}

/** Contexts whose clients ask for OCSP responses, if they are to, and take signatures of one type of key. */
class Stapling extends Contexts {
  /** What the client was sent. */
  response: Uint8Array | undefined;

  constructor(version: "TLSv1.2" | "TLSv1.3", server: SslContextOptions, signatures = "ECDSA+SHA256", asks = true) {
    let pointer: Pointer | undefined;
    super(version, server, { keylog: () => pointer = activeCaller()!.pointer });
    this.pointer = () => pointer!;
    const { ssl } = library();
    const setSignatures = 98, setStatusType = 65, ocsp = 1; // SSL_CTRL_SET_SIGALGS_LIST, _SET_TLSEXT_STATUS_REQ_TYPE
    ssl.SSL_CTX_ctrl_buffer(contextPointer(this.client), setSignatures, 0, bytes(`${signatures}\0`));
    if (asks) ssl.SSL_CTX_ctrl(contextPointer(this.client), setStatusType, ocsp, null);
  }

  readonly pointer: () => Pointer;

  /** Shakes hands; answers what was stapled. */
  stapled(session?: Session): Uint8Array | undefined {
    using link = this.link(session);
    link.connect();
    const { ssl, memory } = library();
    const out = new BigUint64Array(1);
    const getResponse = 70; // SSL_CTRL_GET_TLSEXT_STATUS_REQ_OCSP_RESP
    const length = Number(ssl.SSL_ctrl(this.pointer(), getResponse, 0, out));
    const response = length > 0 ? memory.readBytes(memory.pointerIn(out)!, length) : undefined;
    link.close();
    return response;
  }
}

describe("OCSP stapling", () => {
  beforeAll(() => {
    root = new Authority("root");
    [rsa, ec] = [issue("RSA"), issue("EC")];
  });
  afterAll(() => root[Symbol.dispose]());

  for (const version of versions) {
    it(
      `${version}: sends the response of the certificate that is shown`,
      leavingNothing(() => {
        const both = { ...rsa, moreCertificates: [ec] };
        for (const [signatures, { ocspResponse }] of [["RSA-PSS+SHA256", rsa], ["ECDSA+SHA256", ec]] as const) {
          using contexts = new Stapling(version, both, signatures);
          for (let n = 0; n < 3; n++) assertEquals(contexts.stapled(), ocspResponse);
        }
        // Where one has none, none is sent with it.
        using contexts = new Stapling(version, { ...rsa, moreCertificates: [{ ...ec, ocspResponse: undefined! }] });
        assertEquals(contexts.stapled(), undefined);
      }),
    );

    it(
      `${version}: sends nothing to who does not ask, nor where there is none, nor when a session is resumed`,
      leavingNothing(() => {
        using silent = new Stapling(version, ec, "ECDSA+SHA256", false);
        assertEquals(silent.stapled(), undefined);
        const { certificate, privateKey } = ec;
        using none = new Stapling(version, { certificate, privateKey });
        assertEquals(none.stapled(), undefined);
        using contexts = new Stapling(version, ec);
        assertEquals(contexts.stapled(), ec.ocspResponse);
        assertEquals(contexts.stapled(contexts.sessions.at(-1)), undefined);
      }),
    );

    it(
      `${version}: goes with the context that the client hello callback chose`,
      leavingNothing(() => {
        const { certificate, privateKey } = ec;
        using plain = SslContext.server({ certificate, privateKey });
        const other = issue("EC");
        using stapling = SslContext.server(other);
        for (
          const [own, target, expected] of [
            [ec, plain, undefined],
            [{ certificate, privateKey }, stapling, other.ocspResponse],
            [ec, stapling, other.ocspResponse],
          ] as const
        ) {
          using contexts = new Stapling(version, own);
          contexts.server.setClientHelloCallback((_connection, hello) => {
            hello.useContext(target);
            return "continue";
          });
          assertEquals(contexts.stapled(), expected);
        }
      }),
    );
  }

  it(
    "takes a response as bytes, which it copies, or from a file",
    leavingNothing(() => {
      using folder = new TemporaryFolder();
      const file = folder.file("response.der");
      writeFileSync(file, ec.ocspResponse);
      const given = ec.ocspResponse.slice();
      const { certificate, privateKey } = ec;
      for (
        const option of [{ ocspResponse: given }, { ocspResponseFile: file }, { ocspResponseFile: pathToFileURL(file) }]
      ) {
        using contexts = new Stapling("TLSv1.3", { certificate, privateKey, ...option });
        given.fill(0);
        assertEquals(contexts.stapled(), ec.ocspResponse);
      }
    }),
  );

  it(
    "refuses what is no response",
    leavingNothing(() => {
      using folder = new TemporaryFolder();
      const { certificate, privateKey } = ec;
      const whole = ec.ocspResponse;
      const damaged = [
        new Uint8Array(),
        bytes("-----BEGIN OCSP RESPONSE-----"),
        whole.subarray(0, -1),
        new Uint8Array([...whole, 0x05, 0x00]),
        new Uint8Array([0x30, 0x03, 0x02, 0x01, 0x00]),
        new Uint8Array([0x30, 0x00]),
      ];
      for (const ocspResponse of damaged) {
        assertThrows(
          () => SslContext.server({ certificate, privateKey, ocspResponse }),
          TypeError,
          "Cannot use this OCSP response: it is none in DER",
        );
      }
      const refusals = [[[0x30, 0x03, 0x0a, 0x01, 0x06], 6], [[0x30, 0x03, 0x0a, 0x01, 0x00], 0]] as const;
      for (const [refusal, status] of refusals) {
        assertThrows(
          () => SslContext.server({ certificate, privateKey, ocspResponse: new Uint8Array(refusal) }),
          TypeError,
          `the responder has not answered, its status is ${status}`,
        );
      }
      const file = folder.file("certificate.pem");
      writeFileSync(file, certificate);
      assertThrows(
        () => SslContext.server({ certificate, privateKey, ocspResponseFile: file }),
        TypeError,
        `Cannot use the OCSP response file ${file}: it is none in DER`,
      );
      assertThrows(
        () => SslContext.server({ ...ec, ocspResponseFile: file }),
        TypeError,
        "Cannot use both a stapled OCSP response and a stapled OCSP response file: give one",
      );
      assertThrows(
        () => SslContext.server({ certificate, privateKey, ocspResponseFile: folder.file("missing") }),
        Error,
        "Cannot read the stapled OCSP response file",
      );
      assertThrows(() => SslContext.server({ ocspResponse: whole }), TypeError, "without its certificate");
      assertThrows(() => SslContext.client(ec), TypeError, "from a client's context: only servers do");
      assertThrows(
        () => SslContext.server({ ...ec, ocspResponse: "text" as unknown as Uint8Array }),
        TypeError,
        "it takes a Uint8Array, not text",
      );
    }),
  );
});

/** A server on node:net that shakes hands and waits for the end. */
async function serving<T>(context: SslContext, visit: (port: number) => Promise<T>): Promise<T> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const connection = SslConnection.server(context);
    const chunk = new Uint8Array(20_000);
    const step = () => {
      for (let length = connection.pullCiphertext(chunk); length > 0; length = connection.pullCiphertext(chunk)) {
        socket.write(chunk.slice(0, length));
      }
    };
    socket.on("data", (data: Uint8Array) => {
      connection.pushCiphertext(new Uint8Array(data));
      try {
        if (connection.read(new Uint8Array(100)) === null) socket.end();
      } finally {
        step();
      }
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      connection.shutdownQuietly();
      connection.dispose();
      sockets.delete(socket);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await visit((server.address() as { port: number }).port);
  } finally {
    for (const socket of sockets) socket.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  }
}

/** What `openssl s_client -status` prints. */
function sClient(port: number, ...options: string[]): Promise<string> {
  return new Promise((resolve) => {
    const parameters = ["s_client", "-connect", `127.0.0.1:${port}`, "-status", ...options];
    const child = execFile("openssl", parameters, (_error, stdout) => resolve(stdout));
    child.stdin!.end();
  });
}

const interop = needing(["openssl"], "openssl");
interop.describe("OCSP stapling for openssl s_client -status", () => {
  beforeAll(() => {
    root = new Authority("root");
    [rsa, ec] = [issue("RSA"), issue("EC")];
  });
  afterAll(() => root[Symbol.dispose]());

  for (const version of ["-tls1_2", "-tls1_3"]) {
    interop.it(`${version}: tells that the certificate is good, for RSA and ECDSA`, async () => {
      using context = SslContext.server({ ...rsa, moreCertificates: [ec], options: SslOption.NoTicket });
      for (const [signatures, type] of [["RSA-PSS+SHA256", "RSA"], ["ECDSA+SHA256", "ECDSA"]] as const) {
        const output = await serving(context, (port) => sClient(port, version, "-sigalgs", signatures));
        assertStringIncludes(output, "OCSP Response Status: successful");
        assertStringIncludes(output, "Cert Status: good");
        assertStringIncludes(output, `Peer signature type: ${type}`);
      }
      const { certificate, privateKey } = ec;
      using none = SslContext.server({ certificate, privateKey });
      assertStringIncludes(await serving(none, (port) => sClient(port, version)), "OCSP response: no response sent");
    });
  }
});
