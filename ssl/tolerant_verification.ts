import type { Null, Pointer } from "../ffi/types.ts";
import { activeCaller, calledBack } from "./calls.ts";
import { library } from "./library.ts";
import { verifyErrorKind } from "./verify_names.ts";

/** Who forgives a name must not thereby accept a chain that does not hold, nor who forgives an old certificate. */
const weights = { name: 1, time: 2, chain: 3 };

/**
 * The verification of certificates that all may pass. libssl keeps the last of its errors, which is the name's, as that
 * is looked at last; this has it keep the one that weighs most.
 */
export function acceptAnyCertificate(isGood: number, verification: Pointer | Null): number {
  const caller = activeCaller();
  if (isGood === 1 || !caller || !verification) return 1;
  return calledBack(1, () => {
    const { crypto } = library();
    const error = crypto.X509_STORE_CTX_get_error(verification);
    if (weightOf(error) >= weightOf(caller.verifyError)) caller.verifyError = error;
    else crypto.X509_STORE_CTX_set_error(verification, caller.verifyError);
    return 1;
  });
}

function weightOf(error: number): number {
  return error === 0 ? 0 : weights[verifyErrorKind(error)];
}
