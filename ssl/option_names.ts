/**
 * What to say to whoever gave an option that is not known: what it is called here, if it is an option of another server;
 * else the known name that it is nearest to.
 */
export function alternativeTo(name: string, known: readonly string[]): string {
  const other = Object.hasOwn(elsewhere, name) ? elsewhere[name] : undefined;
  // A store's options have nothing to do with a server's.
  if (typeof other === "string" && known.some((own) => own === "certificate" || own === "hostname")) return other;
  if (typeof other === "object") {
    const here = other.names.filter((own) => known.includes(own));
    if (here.length > 0) return `it is called ${here.join(" and ")} here${other.hint ? `, ${other.hint}` : ""}`;
  }
  const [nearest, distance] = nearestTo(name, known);
  if (nearest !== undefined && distance <= Math.max(2, name.length / 3)) {
    return `there is none of that name; did you mean ${nearest}?`;
  }
  if (known.length <= mostListed) return `there is none of that name; there are ${known.join(", ")}`;
  return `there is none of that name among the ${known.length} that there are${
    nearest === undefined ? "" : `; the nearest is ${nearest}`
  }`;
}

/** So many names can be read in a line. */
const mostListed = 16;

interface Elsewhere {
  readonly names: readonly string[];
  readonly hint?: string;
}

function called(...names: readonly string[]): Elsewhere {
  return { names };
}

const oneSocket = "the sockets are the library's own, and their settings are not open";
const noTicketKeys =
  "there are no tickets that need keys: servers that share a store and its secrets resume each other's sessions";
const noUnixSockets = "TLS is spoken over TCP only: give a port";

/** Options of node:tls and node:net, Bun.serve, Deno.serve and Deno.listenTls, and nginx: their names here, or why not. */
const elsewhere: Readonly<Record<string, Elsewhere | string>> = {
  // node:tls, node:net, node:https
  ALPNProtocols: called("alpnProtocols"),
  ALPNCallback: "the protocol is chosen by alpnProtocols, the preferred one first",
  SNICallback: called("certificateFor", "certificates"),
  backlog: "it is the system's",
  ca: { names: ["certificateAuthorities", "certificateAuthoritiesFile"], hint: "PEM text or a file" },
  cert: { names: ["certificate", "certificateFile"], hint: "PEM text or a file" },
  checkServerIdentity: "the server's certificate must be for serverName; peerCertificate tells more once connected",
  ciphers: { names: ["cipherList", "cipherSuites"], hint: "up to TLS 1.2 and of TLS 1.3" },
  clientCertEngine: "engines are not used: OpenSSL has given them up",
  crl: { names: ["certificateRevocationLists", "certificateRevocationListsFile"], hint: "PEM text or a file" },
  dhparam: "OpenSSL's own parameters are used",
  ecdhCurve: called("groups"),
  enableTrace: called("keylogFile", "keylog"),
  exclusive: { names: ["reusePort"], hint: "by default false" },
  family: oneSocket,
  headersTimeout: called("headerTimeout"),
  host: called("hostname"),
  keepAlive: oneSocket,
  keepAliveTimeout: called("idleTimeout"),
  key: { names: ["privateKey", "privateKeyFile"], hint: "PEM text or a file" },
  localAddress: oneSocket,
  lookup: oneSocket,
  minDHSize: "set it by @SECLEVEL in cipherList",
  noDelay: "it is always on",
  path: noUnixSockets,
  pauseOnConnect: "a stream does not flow before it is read from",
  pfx: "give certificate and privateKey as PEM, which `openssl pkcs12 -in FILE -nodes` makes of it",
  privateKeyEngine: "engines are not used: OpenSSL has given them up",
  privateKeyIdentifier: "engines are not used: OpenSSL has given them up",
  pskCallback: "pre-shared keys are not supported",
  pskIdentityHint: "pre-shared keys are not supported",
  requestCert: { names: ["verify"], hint: '"request" or "require"' },
  secureContext: called("context"),
  secureOptions: called("options"),
  secureProtocol: called("minVersion", "maxVersion"),
  servername: called("serverName"),
  sigalgs: called("signatureAlgorithms"),
  socket: "the library opens the connection itself: give hostname and port",
  ticketKeys: noTicketKeys,
  timeout: called("handshakeTimeout", "idleTimeout"),
  // Bun.serve
  caFile: called("certificateAuthoritiesFile"),
  certFile: called("certificateFile"),
  development: "a handler's error goes to onError, and its client gets a 500",
  dhParamsFile: "OpenSSL's own parameters are used",
  error: called("onError"),
  fetch: "give the handler as serve()'s second parameter",
  keyFile: called("privateKeyFile"),
  lowMemoryMode: "there is no such mode",
  maxRequestBodySize: "look at the body's length in the handler",
  routes: "look at the request's URL in the handler",
  tls: "give what is in it as options themselves: certificate, privateKey and so on",
  unix: noUnixSockets,
  // Deno.serve, Deno.listenTls, Deno.connectTls
  caCerts: { names: ["certificateAuthorities"], hint: "one PEM text" },
  certChain: called("certificate"),
  handler: "give the handler as serve()'s second parameter",
  keyFormat: "a key is PEM text",
  onListen: "the server listens once its Promise is kept",
  tcpBacklog: "it is the system's",
  transport: noUnixSockets,
  unsafelyDisableHostnameVerification: "a certificate for another name is refused: say serverName",
  // nginx
  client_body_timeout: called("requestTimeout", "idleTimeout"),
  client_header_timeout: called("headerTimeout"),
  keepalive_timeout: { names: ["idleTimeout"], hint: "in milliseconds" },
  listen: called("port", "hostname"),
  reuseport: called("reusePort"),
  server_name: "certificates are chosen by the names in them",
  ssl_buffer_size: "it is OpenSSL's own",
  ssl_certificate: called("certificateFile"),
  ssl_certificate_key: called("privateKeyFile"),
  ssl_ciphers: called("cipherList"),
  ssl_client_certificate: called("certificateAuthoritiesFile"),
  ssl_conf_command: called("cipherSuites", "options"),
  ssl_crl: called("certificateRevocationListsFile"),
  ssl_dhparam: "OpenSSL's own parameters are used",
  ssl_early_data: "early data is never accepted",
  ssl_ecdh_curve: called("groups"),
  ssl_handshake_timeout: { names: ["handshakeTimeout"], hint: "in milliseconds" },
  ssl_password_file: called("passphrase"),
  ssl_prefer_server_ciphers: called("honorCipherOrder"),
  ssl_protocols: called("minVersion", "maxVersion"),
  ssl_session_cache: called("sessions"),
  ssl_session_ticket_key: noTicketKeys,
  ssl_session_tickets: called("numTickets"),
  ssl_session_timeout: { names: ["sessionTimeout"], hint: "in seconds" },
  ssl_stapling: called("ocspResponse", "ocspResponseFile"),
  ssl_stapling_file: called("ocspResponseFile"),
  ssl_trusted_certificate: called("certificateAuthoritiesFile"),
  ssl_verify_client: { names: ["verify"], hint: '"request" or "require"' },
  ssl_verify_depth: "chains are as long as OpenSSL takes them",
  // Clients of Redis, and other caches
  client: called("sendCommand"),
  keyPrefix: called("prefix"),
  max: called("maxEntries"),
};

/** The known name with the fewest letters to change, and how many these are. */
function nearestTo(name: string, known: readonly string[]): [nearest: string | undefined, distance: number] {
  let best: [string | undefined, number] = [undefined, Infinity];
  if (name.length > 64) return best;
  for (const other of known) {
    const distance = editDistance(name.toLowerCase(), other.toLowerCase());
    if (distance < best[1]) best = [other, distance];
  }
  return best;
}

/** How many letters are to be added, taken away, changed, or swapped with their neighbours. */
function editDistance(a: string, b: string): number {
  let [beforeLast, last] = [[] as number[], Array.from({ length: b.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      let distance = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (isSame ? 0 : 1));
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        distance = Math.min(distance, beforeLast[column - 2]! + 1);
      }
      current.push(distance);
    }
    [beforeLast, last] = [last, current];
  }
  return last[b.length]!;
}
