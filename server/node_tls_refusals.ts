import { type OptionKind, refusal } from "../ssl/options.ts";
import { coded, codedError } from "./coded_error.ts";

const noEngines = "engines are not used: OpenSSL has given them up";
const noSharedKeys = "pre-shared keys are not supported";

/** Options of node:tls's createSecureContext() that are not here, and why. */
export const notInContexts: Readonly<Record<string, string>> = {
  allowPartialTrustChain: "the chain must end at a self-signed authority: give that as ca",
  certificateCompression: "OpenSSL has it from 3.2 on only",
  clientCertEngine: noEngines,
  dhparam: "only elliptic curves are offered for the key exchange, which all clients of TLS 1.2 and later take",
  privateKeyEngine: noEngines,
  privateKeyIdentifier: noEngines,
  ticketKeys: "tickets only name sessions here, which newSession and resumeSession keep",
};

/** Options of node:tls's createServer() that are not here, and why. */
export const notInServers: Readonly<Record<string, string>> = {
  ...notInContexts,
  enableTrace: "OpenSSL's trace is not open: use the event keylog and Wireshark",
  highWaterMark: "streams have node:stream's own",
  pskCallback: noSharedKeys,
  pskIdentityHint: noSharedKeys,
};

/** What is false or null is not asked for, and goes through; anything else is refused with the reason. */
export function notHere(reasons: Readonly<Record<string, string>>): Record<string, OptionKind<never>> {
  return Object.fromEntries(
    Object.entries(reasons).map(([option, reason]) => [
      option,
      refusal((value, name, of) => {
        if (value === null || value === false) return undefined;
        throw new TypeError(`Cannot use the option ${name} with ${of}: ${reason}`);
      }),
    ]),
  );
}

/** For a server that would have to choose its protocol in two ways. */
export function bothForAlpn(): TypeError {
  const error = new TypeError("Cannot use ALPNCallback beside ALPNProtocols: leave one of them out");
  return coded(error, "ERR_TLS_ALPN_CALLBACK_WITH_PROTOCOLS");
}

/** For the members of a Server that have to do with ticket keys. */
export function noTicketKeys(verb: string): Error {
  return codedError(
    `Cannot ${verb} ticket keys: tickets only name sessions here, which newSession and resumeSession keep`,
    "ERR_METHOD_NOT_IMPLEMENTED",
  );
}
