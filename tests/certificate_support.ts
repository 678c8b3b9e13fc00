/** Certificates that selfSigned() does not make, by the openssl command. */

import { readFileSync, writeFileSync } from "node:fs";
import type { Credentials } from "../mod.ts";
import { openssl } from "./process.ts";
import { TemporaryFolder } from "./server_support.ts";

/** A self-signed certificate for localhost that is valid from a time to another. */
export function validFor(from: Date, to: Date): Credentials {
  using folder = new TemporaryFolder();
  const key = folder.file("key.pem");
  const request = folder.file("request.pem");
  const certificate = folder.file("certificate.pem");
  const configuration = folder.file("openssl.cnf");
  writeFileSync(folder.file("index.txt"), "");
  writeFileSync(
    configuration,
    `[ca]
default_ca = own
[own]
database = ${folder.file("index.txt")}
new_certs_dir = ${folder.path}
rand_serial = yes
default_md = sha256
policy = any
x509_extensions = extensions
[any]
commonName = supplied
[extensions]
basicConstraints = critical, CA:TRUE
subjectAltName = DNS:localhost, IP:127.0.0.1
`,
  );
  const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key];
  openssl(["req", "-new", ...kind, "-subj", "/CN=localhost", "-out", request]);
  const time = ["-startdate", asn1(from), "-enddate", asn1(to)];
  const files = ["-config", configuration, "-keyfile", key, "-in", request, "-out", certificate];
  openssl(["ca", "-selfsign", "-batch", "-notext", ...time, ...files]);
  return { certificate: readFileSync(certificate, "utf8"), privateKey: readFileSync(key, "utf8") };
}

function asn1(date: Date): string {
  return date.toISOString().replace(/[-:T]/g, "").replace(/\.\d+Z/, "Z");
}

/** A self-signed certificate whose only name is the common name in its subject. */
export function nameOnly(commonName: string): Credentials {
  return selfSignedBy(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"], commonName);
}

/** A self-signed certificate as openssl req makes it, with a key of these options. */
export function selfSignedBy(keyOptions: readonly string[], commonName: string, more: string[] = []): Credentials {
  using folder = new TemporaryFolder();
  const key = folder.file("key.pem");
  const certificate = folder.file("certificate.pem");
  const files = ["-keyout", key, "-out", certificate];
  // Without the system's configuration, which adds names and authority.
  writeFileSync(folder.file("openssl.cnf"), "[req]\ndistinguished_name = name\nprompt = no\n[name]\n");
  const configuration = ["-config", folder.file("openssl.cnf")];
  openssl(["req", "-x509", "-nodes", ...keyOptions, ...files, ...configuration, "-subj", `/CN=${commonName}`, ...more]);
  return { certificate: readFileSync(certificate, "utf8"), privateKey: readFileSync(key, "utf8") };
}
