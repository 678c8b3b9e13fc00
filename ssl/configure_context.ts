import { cString } from "../ffi/memory.ts";
import { alpnWireFormat } from "./alpn.ts";
import { useCertificates } from "./credentials.ts";
import { SslOption } from "./constants.ts";
import type { SslContext } from "./context.ts";
import type { VerifyMode } from "./context_options.ts";
import type { ContextState } from "./context_state.ts";
import { deriveIdContext } from "./id_context.ts";
import { library } from "./library.ts";
import type { Loaded, LoadedOptions } from "./loaded_options.ts";
import { openSslError } from "./openssl_error.ts";
import { protocolNumber, type ProtocolVersion } from "./protocol.ts";
import { trampolines } from "./trampolines.ts";
import { TrustStore } from "./trust_store.ts";

type Role = "server" | "client";

// The commands of SSL_CTX_ctrl() that are macros in C.
const control = {
  setServerNameCallback: 53,
  setGroupsList: 92,
  setSignatureAlgorithms: 98,
  setMinVersion: 123,
  setMaxVersion: 124,
};

/** Sets up a context that is new. */
export function configureContext(
  context: SslContext,
  state: ContextState,
  role: Role,
  options: LoadedOptions,
): void {
  const { ssl } = library();
  const { pointer } = state;
  const { authorities, revocationLists } = options;
  const names = useCertificates(state, options.loadedCertificates);
  setVersions(state, options);
  if (state.isForTls12Only && options.minVersion === "TLSv1.3") {
    throw new TypeError(
      `Cannot speak TLSv1.3 with the certificate for ${
        state.serverNames.join(", ") || "no name"
      }: its key is of a type ` +
        "that TLS 1.3 does not know; take P-256, P-384, P-521, Ed25519 or RSA, or lower minVersion",
    );
  }
  setText("cipher list", options.cipherList, (text) => ssl.SSL_CTX_set_cipher_list(pointer, text));
  setText("cipher suites", options.cipherSuites, (text) => ssl.SSL_CTX_set_ciphersuites(pointer, text));
  setText("groups", options.groups, (text) => ssl.SSL_CTX_ctrl_buffer(pointer, control.setGroupsList, 0, text));
  setText(
    "signature algorithms",
    options.signatureAlgorithms,
    (text) => ssl.SSL_CTX_ctrl_buffer(pointer, control.setSignatureAlgorithms, 0, text),
  );
  if (
    role === "server" &&
    Number(ssl.SSL_CTX_callback_ctrl(pointer, control.setServerNameCallback, trampolines().serverName)) !== 1
  ) {
    throw openSslError("Cannot have the context take server names");
  }
  if (options.alpnProtocols) setAlpn(state, role, options.alpnProtocols);

  const verify = options.verify ?? (role === "client" ? "require" : "none");
  // Nothing but false.
  const rejectUnauthorized = options.rejectUnauthorized !== false;
  const trustsSystem = verify !== "none" && !authorities;
  if (authorities || revocationLists || trustsSystem) {
    useTrust(state, TrustStore.of({ authorities, revocationLists, trustsSystem }));
  }
  ssl.SSL_CTX_set_verify(
    pointer,
    verifyNumber(verify),
    rejectUnauthorized ? null : trampolines().acceptAnyCertificate,
  );

  // Without one, nothing resumes where client certificates are asked for. A client keeps to one: its sessions may
  // outlive what it trusts today, and it refuses those of another. One that was made without a verified certificate must
  // not resume where one is wanted, as nothing is verified then.
  const isVerified = verify !== "none" && rejectUnauthorized;
  const derive = () =>
    role === "server"
      ? deriveIdContext(names, {
        verify,
        rejectUnauthorized,
        authorities: textOf(authorities),
        revocationLists: textOf(revocationLists),
      })
      : isVerified
      ? "openssl-sessions"
      : "openssl-sessions unverified";
  context.setSessionIdContext(options.sessionIdContext ?? derive());
  if (options.sessionCacheMode !== undefined) context.sessionCacheMode = options.sessionCacheMode;
  if (options.sessionCacheSize !== undefined) context.sessionCacheSize = options.sessionCacheSize;
  if (options.sessionTimeout !== undefined) context.sessionTimeout = options.sessionTimeout;
  if (options.numTickets !== undefined) context.numTickets = options.numTickets;
  // A client could have the server shake hands again and again, which costs the server more than the client.
  if (role === "server") context.setOptions(SslOption.NoRenegotiation);
  if (role === "server" && options.honorCipherOrder !== false) context.setOptions(SslOption.CipherServerPreference);
  if (options.options !== undefined) context.setOptions(options.options);
  if (options.keylog) context.setKeylogCallback(options.keylog);
}

function textOf(loaded: Loaded | undefined): string | undefined {
  return loaded && new TextDecoder().decode(loaded.bytes);
}

/** Has the context trust certificates, and name them to clients that it asks for one. */
function useTrust(state: ContextState, trust: TrustStore): void {
  const { ssl } = library();
  // Given back when the context has ended.
  state.trust = trust;
  ssl.SSL_CTX_set1_cert_store(state.pointer, trust.pointer);
  if (state.role !== "server") return;
  for (const authority of trust.authorities) {
    if (ssl.SSL_CTX_add_client_CA(state.pointer, authority) !== 1) {
      throw openSslError("Cannot name a certificate authority");
    }
  }
}

function setVersions(state: ContextState, { minVersion, maxVersion }: LoadedOptions): void {
  if (minVersion && maxVersion && minVersion > maxVersion) {
    throw new RangeError(`Cannot speak ${minVersion} at least and ${maxVersion} at most`);
  }
  if (minVersion) setVersion(state, "minimum", control.setMinVersion, minVersion);
  if (maxVersion) setVersion(state, "maximum", control.setMaxVersion, maxVersion);
}

function setVersion({ pointer }: ContextState, which: string, command: number, version: ProtocolVersion): void {
  if (Number(library().ssl.SSL_CTX_ctrl(pointer, command, protocolNumber(version), null)) !== 1) {
    throw openSslError(
      `Cannot set the ${which} protocol version to ${version}`,
      "the system's OpenSSL was built without it",
    );
  }
}

function setText(what: string, value: string | undefined, set: (text: Uint8Array) => number | bigint): void {
  if (value === undefined) return;
  if (Number(set(cString(value))) !== 1) {
    throw openSslError(`Cannot set the ${what} to ${JSON.stringify(value)}`, "OpenSSL knows no such names");
  }
}

function setAlpn(state: ContextState, role: Role, protocols: readonly string[]): void {
  const { ssl, crypto, memory } = library();
  const list = alpnWireFormat(protocols);
  if (role === "client") {
    // This one answers 0 for success.
    if (ssl.SSL_CTX_set_alpn_protos(state.pointer, list, list.length) !== 0) {
      throw openSslError(`Cannot offer the ALPN protocols ${protocols.join(", ")}`);
    }
    return;
  }
  // libssl is told a place inside this list, so it lies in C's memory for as long as the context does.
  const copy = crypto.CRYPTO_malloc(list.length, null, 0);
  if (!copy) throw openSslError("Cannot keep the list of ALPN protocols");
  memory.writeBytes(copy, list, list.length);
  state.alpn = { list: copy, length: list.length };
  ssl.SSL_CTX_set_alpn_select_cb(state.pointer, trampolines().alpnSelect, null);
}

function verifyNumber(mode: VerifyMode): number {
  switch (mode) {
    case "none":
      return 0;
    case "request":
      return 1; // SSL_VERIFY_PEER
    case "require":
      return 3; // and SSL_VERIFY_FAIL_IF_NO_PEER_CERT, which clients ignore
    default:
      throw new RangeError(
        `${JSON.stringify(mode satisfies never)} is no verify mode; there are none, request, require`,
      );
  }
}
