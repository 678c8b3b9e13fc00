// Prints which OpenSSL this runtime gets.
import { openLibrary } from "../mod.ts";

console.log(openLibrary().version);
