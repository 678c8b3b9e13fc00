import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { clientNetwork } from "../server/client_network.ts";
import "./support.ts";

/** Addresses, and whom they count for. */
const networks: Record<string, string> = {
  "192.0.2.1": "192.0.2.1",
  "::ffff:192.0.2.1": "192.0.2.1",
  "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64",
  "2001:DB8:1:2:ffff:ffff:ffff:ffff": "2001:db8:1:2::/64",
  "2001:0db8:0001:0002::1": "2001:db8:1:2::/64",
  "2001:db8::1": "2001:db8:0:0::/64",
  "2001:db8::3:4:5:6": "2001:db8:0:0::/64",
  "2001:db8:0:1::": "2001:db8:0:1::/64",
  "64:ff9b::192.0.2.1": "64:ff9b:0:0::/64",
  "::1": "0:0:0:0::/64",
  "fe80::1%eth0": "fe80:0:0:0::/64",
  "": "",
};

describe("the limit of connections per address", () => {
  for (const [address, network] of Object.entries(networks)) {
    it(`takes ${address || "no address"} for ${network || "none"}`, () =>
      assertEquals(clientNetwork(address), network));
  }
});
