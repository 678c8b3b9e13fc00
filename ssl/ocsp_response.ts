import { copyOf } from "./bytes.ts";
import { derElements } from "./der.ts";
import type { Loaded } from "./loaded_options.ts";

/** Looks at the OCSP response of an option, or of its file. Answers a copy. */
export function checkedOcspResponse({ bytes, file }: Loaded): Uint8Array {
  const response = copyOf("this OCSP response", bytes);
  const what = file === undefined ? "this OCSP response" : `the OCSP response file ${file}`;
  // RFC 6960, section 4.2.1.
  const sequence = 0x30, enumerated = 0x0a, successful = 0;
  const [whole, ...more] = derElements(response) ?? [];
  const [status, content] = whole?.tag === sequence && more.length === 0 ? derElements(whole.content) ?? [] : [];
  if (status?.tag !== enumerated || status.content.length !== 1) {
    throw new TypeError(`Cannot use ${what}: it is none in DER`);
  }
  if (status.content[0] !== successful || !content) {
    throw new TypeError(`Cannot use ${what}: the responder has not answered, its status is ${status.content[0]}`);
  }
  return response;
}
