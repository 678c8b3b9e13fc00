import { assert, assertEquals, assertMatch, assertStringIncludes, assertThrows } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { copyFileSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import process from "node:process";
import { LibraryNotFoundError, openLibrary, UnsupportedLibraryError } from "../mod.ts";
import { candidates, notFound } from "../ffi/find.ts";
import { requireOpenSsl } from "../ffi/version.ts";
import { root, runSelf, withFolder } from "./process.ts";
import "./support.ts";

const isLinux = process.platform === "linux";
const variable = "OPENSSL_SESSIONS_LIBSSL";

/** The files that libssl and libcrypto were really loaded from. */
function loadedFiles(): { ssl: string; crypto: string } {
  const named = openLibrary().path;
  const files = [...new Set(readFileSync("/proc/self/maps", "utf8").match(/\/\S*lib(?:ssl|crypto)\S*\.so\S*$/gm))];
  const ssl = named.includes("/") ? realpathSync(named) : files.find((file) => file.includes("libssl"))!;
  return { ssl, crypto: files.find((file) => file.includes("libcrypto") && dirname(file) === dirname(ssl))! };
}

/** Runs a child that opens the library and prints what came of it. */
async function opening(
  how: { environment?: Record<string, string | undefined>; path?: string; before?: string },
): Promise<{ path?: string; version?: string; name?: string; message?: string; mapped: string[] }> {
  const { code, stdout, stderr } = await runSelf(
    `
    import { readFileSync } from "node:fs";
    import process from "node:process";
    import { openLibrary } from "${root}mod.ts";
    ${how.before ?? ""}
    let outcome;
    try {
      outcome = openLibrary(${how.path === undefined ? "" : JSON.stringify({ path: how.path })});
    } catch ({ name, message }) {
      outcome = { name, message };
    }
    const maps = process.platform === "linux" ? readFileSync("/proc/self/maps", "utf8") : "";
    console.log(JSON.stringify({ ...outcome, mapped: [...new Set(maps.match(/\\/\\S*libssl\\S*$/gm))] }));
  `,
    how.environment,
  );
  assertEquals({ code, stderr }, { code: 0, stderr: "" });
  return JSON.parse(stdout);
}

describe("openLibrary()", () => {
  it("says which library it is", () => {
    const { path, version, versionNumber, runtime } = openLibrary();
    assertStringIncludes(path, "ssl");
    assertMatch(version, /^OpenSSL \d+\.\d+\.\d+/);
    assert(versionNumber >= 0x10101000);
    assertEquals(version.split(" ")[1]!.split(".")[0], String(versionNumber >>> 28));
    assertEquals(runtime, "Deno" in globalThis ? "deno" : "Bun" in globalThis ? "bun" : "node");
  });

  it("answers the same when it is open, and refuses another path", () => {
    const { path } = openLibrary();
    assertEquals(openLibrary({ path }), openLibrary());
    assertThrows(() => openLibrary({ path: "/other/libssl.so.3" }), Error, `${path} is open already`);
    assertEquals(openLibrary().path, path);
  });

  it("says which path is not there, and that no other was tried", async () => {
    const missing = "/nowhere/libssl.so.3";
    for (
      const how of [{ path: missing, environment: { [variable]: undefined } }, { environment: { [variable]: missing } }]
    ) {
      const { name, message, mapped } = await opening(how);
      assertEquals(name, "LibraryNotFoundError");
      assertStringIncludes(message!, "Cannot open libssl. Tried:\n");
      assertStringIncludes(message!, missing);
      assertStringIncludes(message!, "no other was tried");
      assertEquals(mapped, []);
    }
  });

  it("prefers its path to the environment's", async () => {
    const { path } = openLibrary();
    const opened = await opening({ path, environment: { [variable]: "/nowhere/libssl.so.3" } });
    assertEquals(opened.path, path);
  });

  it("honours the environment's path", { ignore: !isLinux }, async () => {
    const { ssl } = loadedFiles();
    await withFolder(async (folder) => {
      const file = join(folder, "libssl.so.9");
      copyFileSync(ssl, file);
      copyFileSync(loadedFiles().crypto, join(folder, "libcrypto.so.9"));
      const opened = await opening({ environment: { [variable]: file } });
      assertEquals(opened.path, file);
      assert(opened.mapped.includes(realpathSync(file)), String(opened.mapped));
    });
  });

  it("takes an empty variable for none", async () => {
    const { path } = await opening({ environment: { [variable]: "" } });
    assertStringIncludes(path!, "libssl");
  });

  it("says that a file is no library", { ignore: !isLinux }, async () => {
    await withFolder(async (folder) => {
      const path = join(folder, "libssl.so.3");
      for (const name of ["libssl.so.3", "libcrypto.so.3"]) writeFileSync(join(folder, name), "This is no library\n");
      const { name, message } = await opening({ path });
      assertEquals(name, "LibraryNotFoundError");
      assertStringIncludes(message!, path);
    });
  });

  it("says that a library is no OpenSSL", { ignore: !isLinux }, async () => {
    const { name, message } = await opening({ path: "libc.so.6" });
    assertEquals(name, "LibraryNotFoundError");
    assertStringIncludes(message!, "libc.so.6");
    assertStringIncludes(message!, "OpenSSL_version");
  });

  it("opens no library that lies in the working directory", { ignore: !isLinux }, async () => {
    const { ssl, crypto } = loadedFiles();
    await withFolder(async (folder) => {
      for (const version of ["4", "3", "1.1"]) {
        copyFileSync(ssl, join(folder, `libssl.so.${version}`));
        copyFileSync(crypto, join(folder, `libcrypto.so.${version}`));
      }
      const { mapped } = await opening({
        environment: { [variable]: undefined },
        before: `process.chdir(${JSON.stringify(folder)});`,
      });
      assertEquals(mapped.filter((file) => file.startsWith(realpathSync(folder))), []);
    });
  });

  it("says what Deno does not allow", { ignore: !("Deno" in globalThis) }, async () => {
    for (const permissions of [["--allow-read"], ["--allow-read", "--allow-env"]]) {
      const { stdout, stderr } = await runSelf(
        `
        import { openLibrary } from "${root}mod.ts";
        try {
          openLibrary();
        } catch ({ name, message }) {
          console.log(name, message);
        }
      `,
        {},
        permissions,
      );
      assertEquals(stderr, "");
      assertMatch(stdout, /^LibraryNotFoundError .*Run with --allow-ffi/);
    }
  });
});

describe("importing the library", () => {
  it("opens nothing", async () => {
    const { mapped, name } = await opening({
      environment: { [variable]: "/nowhere/libssl.so.3" },
      before: `
        if (process.platform === "linux") {
          const maps = readFileSync("/proc/self/maps", "utf8");
          if (/libssl[^/]*$/m.test(maps)) throw new Error("libssl is loaded");
        }`,
    });
    // The first use would have opened it, and does say that it cannot.
    assertEquals({ mapped, name }, { mapped: [], name: "LibraryNotFoundError" });
  });
});

describe("the names that libssl is looked for by", () => {
  it("are the platform's, newest first, each with its libcrypto", () => {
    for (const platform of ["linux", "darwin", "windows", "other"] as const) {
      const found = candidates(platform);
      for (const { ssl, crypto } of found) assertEquals(crypto, ssl.replace(/ssl(?=[^/]*$)/, "crypto"));
    }
    assertEquals(candidates("linux").map(({ ssl }) => ssl), [
      "libssl.so.4",
      "libssl.so.3",
      "libssl.so.1.1",
      "libssl.so",
    ]);
    assertEquals(candidates("windows")[0], { ssl: "libssl-4-x64.dll", crypto: "libcrypto-4-x64.dll" });
    // The folder's name is not libssl's.
    assertEquals(candidates("linux", "/opt/openssl/libssl.so.3"), [
      { ssl: "/opt/openssl/libssl.so.3", crypto: "/opt/openssl/libcrypto.so.3" },
    ]);
    assertEquals(candidates("windows", "C:\\ssl\\libssl-3-x64.dll")[0]!.crypto, "C:\\ssl\\libcrypto-3-x64.dll");
  });

  it("are all in the error, with what the system said and how to install libssl", () => {
    const tried = candidates("linux").map(({ ssl }) => ({ path: ssl, reason: `no ${ssl} here` }));
    const error = notFound(tried);
    assert(error instanceof LibraryNotFoundError);
    for (const { path, reason } of tried) {
      assertStringIncludes(error.message, path);
      assertStringIncludes(error.message, reason);
    }
    for (const system of ["Debian", "Fedora", "Alpine", "macOS", "Windows"]) {
      assertStringIncludes(error.message, system);
    }
    assertStringIncludes(error.message, variable);
  });
});

describe("a library that is not OpenSSL 1.1.1 or later", () => {
  const refused: [string, number, string][] = [
    ["LibreSSL 3.8.2", 0x20000000, "it is LibreSSL (LibreSSL 3.8.2), which has no client-hello callback"],
    ["OpenSSL 1.1.1 (compatible; BoringSSL)", 0x1010107f, "it is BoringSSL"],
    ["AWS-LC 1.30.1 (OpenSSL 1.1.1 compatible)", 0x1010107f, "it is AWS-LC"],
    ["OpenSSL 1.1.0l  10 Sep 2019", 0x101000cf, "OpenSSL 1.1.1 is the oldest"],
    ["OpenSSL 1.0.2u  20 Dec 2019", 0x1000215f, "OpenSSL 1.1.1 is the oldest"],
  ];
  for (const [version, number, reason] of refused) {
    it(`is refused by name: ${version}`, () => {
      const error = assertThrows(
        () => requireOpenSsl("/usr/lib/libcrypto.so", version, number),
        UnsupportedLibraryError,
        reason,
      );
      assertStringIncludes(String(error ?? "/usr/lib/libcrypto.so"), "/usr/lib/libcrypto.so");
    });
  }

  it("is none of these", () => {
    for (
      const [version, number] of [
        ["OpenSSL 1.1.1w  11 Sep 2023", 0x1010117f],
        ["OpenSSL 3.0.19 27 Jan 2026", 0x30000130],
        ["OpenSSL 4.0.3", 0x40000030],
      ] as const
    ) {
      requireOpenSsl("libcrypto.so", version, number);
    }
  });
});
