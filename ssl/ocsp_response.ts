import { copyOf } from "./bytes.ts";
import type { CertificateOptions } from "./context_options.ts";
import { derElements } from "./der.ts";
import { readFileOf } from "./pem.ts";

/** The OCSP response of an option, or of the file that another option names. */
export function ocspResponseOf({ ocspResponse, ocspResponseFile }: CertificateOptions): Uint8Array | undefined {
  const given = ocspResponseFile === undefined
    ? ocspResponse
    : readFileOf("stapled OCSP response", ocspResponse, ocspResponseFile);
  if (given === undefined) return undefined;
  const response = copyOf("this OCSP response", given);
  const what = ocspResponseFile === undefined ? "this OCSP response" : `the OCSP response file ${ocspResponseFile}`;
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
