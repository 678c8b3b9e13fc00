import type { Null, Pointer } from "../ffi/types.ts";
import { alpnNames, alpnWireFormat } from "./alpn.ts";
import { library } from "./library.ts";

/** Where libssl wants to be told which protocol it is to be, and what the client offers. */
export interface AlpnOffer {
  readonly out: Pointer | Null;
  readonly outLength: Pointer | Null;
  readonly offered: Pointer | Null;
  readonly offeredLength: number;
}

/** The names of what a client offers. */
export function offeredProtocols({ offered, offeredLength }: AlpnOffer): string[] {
  return alpnNames(library().memory.readBytes(offered, offeredLength));
}

/** Tells libssl the first of this side's protocols that the client offers. False if there is none. */
export function selectProtocol(offer: AlpnOffer, own: { readonly list: Pointer; readonly length: number }): boolean {
  const { out, outLength, offered, offeredLength } = offer;
  const negotiated = 1; // OPENSSL_NPN_NEGOTIATED
  const { ssl } = library();
  return ssl.SSL_select_next_proto(out, outLength, own.list, own.length, offered, offeredLength) === negotiated;
}

/** Tells libssl the client's own name for a protocol that it offers. */
export function selectOffered(offer: AlpnOffer, protocol: string): boolean {
  const { out, outLength, offered, offeredLength } = offer;
  const { ssl, crypto, memory } = library();
  const list = alpnWireFormat([protocol]);
  const copy = crypto.CRYPTO_malloc(list.length, null, 0);
  if (!copy) return false;
  try {
    memory.writeBytes(copy, list, list.length);
    const negotiated = 1; // OPENSSL_NPN_NEGOTIATED
    // The other way round: libssl is told a place in the first list, which has to outlive this call.
    return ssl.SSL_select_next_proto(out, outLength, offered, offeredLength, copy, list.length) === negotiated;
  } finally {
    crypto.CRYPTO_free(copy, null, 0);
  }
}
