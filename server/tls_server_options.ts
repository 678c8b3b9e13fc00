import type { X509Certificate } from "node:crypto";
import { SessionCache } from "../cache/session_cache.ts";
import type { MaybePromise } from "../cache/session_store.ts";
import { SslContext } from "../ssl/context.ts";
import {
  certificateKinds,
  type CertificateOptions,
  contextKinds,
  type SslContextOptions,
} from "../ssl/context_options.ts";
import {
  abortSignal,
  callback,
  either,
  flag,
  instance,
  list,
  milliseconds,
  object,
  port,
  text,
} from "../ssl/option_kinds.ts";
import type { OptionKind, OptionKinds } from "../ssl/options.ts";
import type { CertificateFor } from "./certificates_on_demand.ts";
import type { ReportError } from "./error_report.ts";
import { type ConnectionLimits, limitKinds } from "./limits.ts";
import type { TlsFacts } from "./tls_facts.ts";

/**
 * The options that {@linkcode listen} and {@linkcode serve} have in common: where to listen, certificates, who may come
 * in, where sessions are kept, and limits.
 */
export interface TlsServerOptions extends ServerCertificates, ConnectionLimits {
  /** The port; 0, the default, for a free one. */
  port?: number;
  /** The address or name to listen on; by default `0.0.0.0`, all of this machine's IPv4 addresses. */
  hostname?: string;
  /**
   * Whether other processes may listen on the same port, so that the system shares connections out among them. Linux
   * only; Deno ends a program that asks for it without `--unstable-net`. By default false.
   */
  reusePort?: boolean;
  /**
   * A context of your own for the connections, instead of certificates and the like. It stays yours, and may be
   * disposed once the server is closed. Its callbacks are yours too: {@linkcode SessionCache.attach} it.
   */
  context?: SslContext;
  /** Where sessions are kept; by default in the memory of this server. Not with `context`. */
  sessions?: SessionCache;
  /**
   * Asked about each client when its handshake is done, resumed ones too, and before anything is read from it: whether
   * it may come in. If it answers false, throws or rejects, the connection is closed. The time that it takes counts as
   * part of the handshake's. The certificate is undefined where none was shown or asked for.
   */
  authorize?: (certificate: X509Certificate | undefined, tls: TlsFacts) => MaybePromise<boolean>;
  /**
   * Asked for the certificate of a server name (SNI) that none of the others is for, in lower case and ASCII. The
   * handshake waits for its answer, for `certificateTimeout` at most, and clients that ask for the same name meanwhile
   * wait for the same answer. It is kept: a certificate for 5 minutes, for 1,000 names at most; that there is none for 10
   * seconds. `reload()` forgets all answers.
   *
   * What it throws or rejects with goes to `onError`, by the kind "handshake"; it is asked again a second later. Where it
   * fails, is late or answers undefined, and where 64 names are being asked about already, the client gets the first
   * certificate; where there is none, the alert unrecognized_name.
   */
  certificateFor?: CertificateFor;
  /** For how long a handshake waits for `certificateFor`, in milliseconds; by default 5,000. */
  certificateTimeout?: number;
  /** Closes the server, as `close()` does, when it is aborted. */
  signal?: AbortSignal;
  /**
   * Called with what goes wrong: handshakes that fail, protocol errors, what callbacks and handlers threw, certificates
   * that could not be reloaded. `kind` tells scanners' noise from what an operator has to look at. The server goes on.
   * What it throws is ignored.
   */
  onError?: ReportError;
}

/**
 * What a server's contexts are made of, which {@linkcode Server.reload} can change: everything that a
 * {@linkcode SslContext} takes, certificates for several names, and a log of keys.
 */
export interface ServerCertificates extends SslContextOptions {
  /**
   * Certificates for several names: a client gets the one for the name it asks for (SNI), by the names in them, where
   * `*.example.com` stands for one label. The first serves those who ask for another name, or for none. Two for the
   * same names, RSA and ECDSA, serve clients by what they can verify.
   */
  certificates?: readonly CertificateOptions[];
  /**
   * Looks for changes of the files every so many milliseconds and reloads them, once they have stopped changing; `true`
   * for 1,000. A file that cannot be used is reported to `onError`, and what was loaded before stays. By default false.
   */
  watch?: boolean | number;
  /**
   * A file to which each connection's secrets are appended, in the format that Wireshark reads; `true` for the one that
   * the environment variable SSLKEYLOGFILE names, if it is set. Whoever has the file can decrypt the connections.
   */
  keylogFile?: string | true;
}

/** The kinds of the options that make a server's contexts. */
export const certificatesKinds: OptionKinds<ServerCertificates> = {
  ...contextKinds,
  certificates: list(object(certificateKinds)),
  watch: either((value) => typeof value === "number", milliseconds, flag),
  keylogFile: either((value) => value === true, flag as OptionKind<true>, text),
};

/** The kinds of a server's options. */
export const serverKinds: OptionKinds<TlsServerOptions> = {
  ...certificatesKinds,
  ...limitKinds,
  port,
  hostname: text,
  reusePort: flag,
  context: instance(SslContext, "an SslContext"),
  sessions: instance(SessionCache, "a SessionCache, made with the store"),
  authorize: callback(),
  certificateFor: callback(),
  certificateTimeout: milliseconds,
  signal: abortSignal,
  onError: callback(),
};
