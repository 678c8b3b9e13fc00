/** A certificate authority of its own, by the openssl command: for keys of several types, chains and OCSP. */

import { readFileSync, writeFileSync } from "node:fs";
import type { Credentials } from "../mod.ts";
import { openssl } from "./process.ts";
import { TemporaryFolder } from "./server_support.ts";

const keys = {
  RSA: ["-newkey", "rsa:2048"],
  EC: ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
  Ed25519: ["-newkey", "ed25519"],
} as const;

/** The type of a certificate's key. */
export type KeyType = keyof typeof keys;

let serial = 0x1000;

/** A root, or an authority below another. */
export class Authority {
  readonly #folder = new TemporaryFolder();
  /** Its certificate as PEM text, the issuers' but the root's after it. */
  readonly chain: string;

  constructor(name: string, issuer?: Authority) {
    const extensions = "basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign,digitalSignature";
    const { certificate, privateKey } = (issuer ?? this).#make(name, "EC", extensions, issuer === undefined);
    this.chain = issuer?.isRoot === false ? certificate + issuer.chain : certificate;
    this.isRoot = issuer === undefined;
    this.#write("ca.pem", certificate);
    this.#write("ca.key", privateKey);
  }

  readonly isRoot: boolean;

  /** A certificate for these names, with the chain after it. */
  issue(names: readonly string[], type: KeyType = "EC"): Credentials {
    const alternatives = names.map((name) => `${/^[\d.]+$|:/.test(name) ? "IP" : "DNS"}:${name}`);
    const made = this.#make(names[0]!, type, `subjectAltName=${alternatives}`, false);
    return { ...made, certificate: this.isRoot ? made.certificate : made.certificate + this.chain };
  }

  /** What it says of a certificate that it has issued, in DER. */
  ocspResponse(certificate: string): Uint8Array {
    const file = (name: string) => this.#folder.file(name);
    this.#write("leaf.pem", certificate);
    const number = openssl(["x509", "-noout", "-serial", "-in", file("leaf.pem")]).trim().split("=")[1];
    this.#write("index.txt", `V\t491231235959Z\t\t${number}\tunknown\t/CN=any\n`);
    openssl([
      ...["ocsp", "-no_nonce", "-issuer", file("ca.pem"), "-cert", file("leaf.pem"), "-reqout", file("request.der")],
    ]);
    openssl([
      ...["ocsp", "-index", file("index.txt"), "-CA", file("ca.pem"), "-rsigner", file("ca.pem")],
      ...["-rkey", file("ca.key"), "-reqin", file("request.der"), "-respout", file("response.der"), "-ndays", "1"],
    ]);
    return new Uint8Array(readFileSync(file("response.der")));
  }

  /** Its list of those that it has revoked, as PEM text. */
  revocationList(revoked: readonly string[] = []): string {
    using folder = new TemporaryFolder();
    const file = (name: string) => folder.file(name);
    const lines = revoked.map((certificate) => {
      writeFileSync(file("leaf.pem"), certificate);
      const number = openssl(["x509", "-noout", "-serial", "-in", file("leaf.pem")]).trim().split("=")[1];
      return `R\t491231235959Z\t260101000000Z\t${number}\tunknown\t/CN=any\n`;
    });
    writeFileSync(file("index.txt"), lines.join(""));
    writeFileSync(
      file("openssl.cnf"),
      `[ca]\ndefault_ca = own\n[own]\ndatabase = ${file("index.txt")}\ndefault_md = sha256\ndefault_crl_days = 30\n`,
    );
    openssl([
      ...["ca", "-gencrl", "-config", file("openssl.cnf"), "-out", file("list.pem")],
      ...["-keyfile", this.#folder.file("ca.key"), "-cert", this.#folder.file("ca.pem")],
    ]);
    return readFileSync(file("list.pem"), "utf8");
  }

  /** A certificate with its chain and its key as PKCS#12. */
  static pkcs12({ certificate, privateKey }: Credentials, passphrase: string): Uint8Array {
    using folder = new TemporaryFolder();
    const file = (name: string) => folder.file(name);
    writeFileSync(file("both.pem"), certificate + privateKey);
    openssl(["pkcs12", "-export", "-in", file("both.pem"), "-out", file("both.p12"), "-passout", `pass:${passphrase}`]);
    return new Uint8Array(readFileSync(file("both.p12")));
  }

  #make(name: string, type: KeyType, extensions: string, selfSigned: boolean): Credentials {
    using folder = new TemporaryFolder();
    const file = (name: string) => folder.file(name);
    writeFileSync(file("extensions"), extensions);
    openssl([
      ...["req", "-new", ...keys[type], "-nodes", "-subj", `/CN=${name}`],
      ...["-keyout", file("key.pem"), "-out", file("request.pem")],
    ]);
    const signer = selfSigned
      ? ["-signkey", file("key.pem")]
      : ["-CA", this.#folder.file("ca.pem"), "-CAkey", this.#folder.file("ca.key")];
    openssl([
      ...["x509", "-req", "-days", "30", "-set_serial", `${serial++}`, "-extfile", file("extensions")],
      ...["-in", file("request.pem"), "-out", file("certificate.pem"), ...signer],
    ]);
    return {
      certificate: readFileSync(file("certificate.pem"), "utf8"),
      privateKey: readFileSync(file("key.pem"), "utf8"),
    };
  }

  #write(name: string, text: string): void {
    writeFileSync(this.#folder.file(name), text);
  }

  [Symbol.dispose](): void {
    this.#folder[Symbol.dispose]();
  }
}
