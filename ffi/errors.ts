/** libssl, libcrypto or the FFI that calls them could not be had. The message says what to install. */
export class LibraryNotFoundError extends Error {
  /** "LibraryNotFoundError". */
  override name = "LibraryNotFoundError";
}

/** A library was opened, and is not an OpenSSL that this library can drive. */
export class UnsupportedLibraryError extends Error {
  /** "UnsupportedLibraryError". */
  override name = "UnsupportedLibraryError";
}
