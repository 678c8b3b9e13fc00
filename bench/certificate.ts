// Writes the certificate that every server of the benchmark uses: certificate.ts certificate.pem key.pem

import { writeFileSync } from "node:fs";
import process from "node:process";
import { selfSigned } from "../mod.ts";

const { certificate, privateKey } = selfSigned();
writeFileSync(process.argv[2]!, certificate);
writeFileSync(process.argv[3]!, privateKey, { mode: 0o600 });
