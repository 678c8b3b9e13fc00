import { isIP } from "node:net";
import { cString } from "../ffi/memory.ts";
import type { Pointer } from "../ffi/types.ts";
import { memoryBio } from "./bio.ts";
import type { ContextState } from "./context_state.ts";
import { library } from "./library.ts";
import { checkName } from "./names.ts";
import { openSslError } from "./openssl_error.ts";
import { protocolNumber } from "./protocol.ts";

/** A new SSL, and the two memory BIOs that it frees. */
export function newSsl(
  role: "server" | "client",
  { pointer: context, isForTls12Only }: ContextState,
): { pointer: Pointer; input: Pointer; output: Pointer } {
  const { ssl, crypto } = library();
  const input = memoryBio();
  let output: Pointer;
  try {
    output = memoryBio();
  } catch (error) {
    crypto.BIO_free(input);
    throw error;
  }
  const pointer = ssl.SSL_new(context);
  if (!pointer) {
    crypto.BIO_free(input);
    crypto.BIO_free(output);
    throw openSslError("Cannot make an SSL");
  }
  ssl.SSL_set_bio(pointer, input, output);
  if (role === "server") ssl.SSL_set_accept_state(pointer);
  else ssl.SSL_set_connect_state(pointer);
  if (isForTls12Only) setMaxVersion(pointer, protocolNumber("TLSv1.2"));
  return { pointer, input, output };
}

/** Sets the newest protocol that an SSL speaks; 0 for the newest there is. */
export function setMaxVersion(connection: Pointer, version: number): void {
  const setMaxVersion = 124; // SSL_CTRL_SET_MAX_PROTO_VERSION
  if (Number(library().ssl.SSL_ctrl_pointer(connection, setMaxVersion, version, null)) !== 1) {
    throw openSslError("Cannot set the newest protocol of a connection", "the oldest is newer");
  }
}

/** Has a client's SSL ask for a server by its name, and look for it in the certificate. */
export function expectServerName(connection: Pointer, serverName: string): void {
  const checked = checkName(serverName);
  if ("fault" in checked) {
    throw new TypeError(`Cannot expect the server name ${JSON.stringify(serverName)}: ${checked.fault}`);
  }
  const { ssl, crypto } = library();
  const { name } = checked;
  const text = cString(name);
  if (isIP(name)) {
    if (crypto.X509_VERIFY_PARAM_set1_ip_asc(ssl.SSL_get0_param(connection), text) !== 1) {
      throw openSslError(`Cannot expect the address ${name}`);
    }
    return;
  }
  const setHostName = 55, hostName = 0; // SSL_set_tlsext_host_name
  if (
    Number(ssl.SSL_ctrl(connection, setHostName, hostName, text)) !== 1 || ssl.SSL_set1_host(connection, text) !== 1
  ) {
    throw openSslError(`Cannot expect the server name ${JSON.stringify(name)}`);
  }
}
