import type { SslContextOptions } from "../ssl/context_options.ts";
import type { ProtocolVersion } from "../ssl/protocol.ts";
import { coded } from "./coded_error.ts";

/** What node:tls has for the protocols to speak. */
export interface NodeProtocols {
  readonly ciphers?: string | undefined;
  readonly minVersion?: ProtocolVersion | undefined;
  readonly maxVersion?: ProtocolVersion | undefined;
  readonly secureProtocol?: string | undefined;
}

type Bounds = readonly [least: ProtocolVersion, most: ProtocolVersion];

/** What node:tls speaks where no option says otherwise. */
const usual: Bounds = ["TLSv1.2", "TLSv1.3"];

/** OpenSSL's old names for the versions, as node:tls reads them. */
const methods: Readonly<Record<string, Bounds>> = {
  TLS_method: ["TLSv1", "TLSv1.3"],
  SSLv23_method: ["TLSv1.2", "TLSv1.2"],
  TLSv1_method: ["TLSv1", "TLSv1"],
  TLSv1_1_method: ["TLSv1.1", "TLSv1.1"],
  TLSv1_2_method: ["TLSv1.2", "TLSv1.2"],
};

/**
 * The versions and ciphers that a server of node:tls would have with these options.
 *
 * Whoever names ciphers of TLS 1.3 alone speaks TLS 1.3 alone: the ciphers of older versions would be others than those
 * that were named.
 */
export function protocolOptions({ ciphers, minVersion, maxVersion, secureProtocol }: NodeProtocols): SslContextOptions {
  const [least, most] = secureProtocol === undefined
    ? [minVersion ?? usual[0], maxVersion ?? usual[1]]
    : boundsOf(secureProtocol, minVersion ?? maxVersion);
  if (ciphers === undefined) return { minVersion: least, maxVersion: most };
  const names = ciphers.split(":").filter((name) => name !== "");
  const suites = names.filter((name) => /^!?TLS_/.test(name));
  const others = names.filter((name) => !/^!?TLS_/.test(name));
  if (names.length === 0) throw invalidCiphers(ciphers, "it names none");
  const isNewOnly = others.length === 0;
  if (isNewOnly && most < "TLSv1.3") throw invalidCiphers(ciphers, `it names none that ${most} has`);
  return {
    minVersion: isNewOnly && least < "TLSv1.3" ? "TLSv1.3" : least,
    maxVersion: most,
    ...(suites.length > 0 && { cipherSuites: suites.join(":") }),
    ...(others.length > 0 && { cipherList: others.join(":") }),
  };
}

function boundsOf(method: string, version: ProtocolVersion | undefined): Bounds {
  if (version !== undefined) {
    throw coded(
      new TypeError(
        `Cannot use the option secureProtocol (${JSON.stringify(method)}) beside ${version}: leave one of them out`,
      ),
      "ERR_TLS_PROTOCOL_VERSION_CONFLICT",
    );
  }
  const name = method.replace(/_server_method$/, "_method");
  if (!Object.hasOwn(methods, name)) {
    throw coded(
      new TypeError(
        `Cannot use the option secureProtocol: ${JSON.stringify(method)} is none; there are ${
          Object.keys(methods).join(", ")
        }`,
      ),
      "ERR_TLS_INVALID_PROTOCOL_METHOD",
    );
  }
  return methods[name]!;
}

function invalidCiphers(ciphers: string, why: string): TypeError {
  return coded(
    new TypeError(`Cannot use the option ciphers (${JSON.stringify(ciphers)}): ${why}`),
    "ERR_INVALID_ARG_VALUE",
  );
}
