import { assertEquals } from "@std/assert";
import { afterAll, beforeAll, describe } from "@std/testing/bdd";
import { writeFileSync } from "node:fs";
import type { Credentials, Session } from "../mod.ts";
import { Authority } from "./authority.ts";
import { needing, pathOf } from "./outside_programs.ts";
import { TemporaryFolder, within } from "./server_support.ts";
import { Client, echo, leavingNothingLater, Recording } from "./socket_support.ts";
import { credentials, versions } from "./support.ts";
import { listenSockets } from "../server/listen.ts";

describe("certificateRevocationListsFile", () => {
  const { it } = needing(["openssl"], "openssl");
  let root: Authority;
  let mine: Credentials;
  let other: Credentials;
  beforeAll(() => {
    if (!pathOf("openssl")) return;
    root = new Authority("root");
    mine = root.issue(["mine"]);
    other = root.issue(["other"]);
  });
  afterAll(() => {
    if (pathOf("openssl")) root[Symbol.dispose]();
  });

  for (const version of versions) {
    it(
      `${version}: is read anew by reload(), and whoever is on it then is out, with a session too`,
      leavingNothingLater(async () => {
        using folder = new TemporaryFolder();
        const file = folder.file("lists.pem");
        writeFileSync(file, root.revocationList());
        await using server = await listenSockets({
          ...{ ...credentials, hostname: "127.0.0.1", verify: "require", certificateAuthorities: root.chain },
          certificateRevocationListsFile: file,
        }, echo);
        /** Whether a client is let in: it hears its own byte, or nothing. */
        async function isIn(client: Client, session?: Session): Promise<boolean> {
          let hear: (isIn: boolean) => void = () => {};
          const heard = new Promise<boolean>((resolve) => hear = resolve);
          const recording = new Recording({ data: () => hear(true) });
          const socket = await client.connect(server.port, recording.handlers, session ? { session } : {})
            .catch(() => undefined);
          if (!socket) return false;
          socket.write(new Uint8Array(1));
          const answer = await within(Promise.race([heard, recording.closed.then(() => false)]), "an answer or an end");
          socket.end();
          await within(recording.closed, "the connection to close");
          return answer;
        }
        using revoked = new Client({ version, ...mine });
        using good = new Client({ version, ...other });
        assertEquals([await isIn(revoked), await isIn(good)], [true, true]);
        writeFileSync(file, root.revocationList([mine.certificate]));
        await server.reload();
        const after = [await isIn(revoked), await isIn(revoked, revoked.sessions[0]), await isIn(good)];
        assertEquals(after, [false, false, true]);
      }),
    );
  }
});
