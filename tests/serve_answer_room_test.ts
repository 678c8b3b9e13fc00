import { assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { setImmediate } from "node:timers/promises";
import { AnswerRoom } from "../server/answer_room.ts";
import "./support.ts";

/** A room, and requests for it that note when they begin. */
function roomFor(bytes: number, requests: number) {
  let crowds = 0;
  const room = new AnswerRoom({ bytes, requests, onCrowd: () => crowds++ });
  const begun: number[] = [];
  const come = async (number: number): Promise<void> => {
    while (room.isFull && !room.isClosed) await room.wait();
    begun.push(number);
    room.enter();
  };
  return { room, begun, come, crowds: () => crowds };
}

describe("AnswerRoom", () => {
  it("lets requests in as others leave, in their order", async () => {
    const { room, begun, come } = roomFor(100, 2);
    for (let number = 0; number < 6; number++) void come(number);
    assertEquals(begun, [0, 1]);
    room.leave();
    await setImmediate();
    assertEquals(begun, [0, 1, 2]);
    room.leave();
    room.leave();
    await setImmediate();
    assertEquals(begun, [0, 1, 2, 3, 4]);
  });

  it("lets all in that there is room for, and begins with no more than a few at a time", async () => {
    const { room, begun, come } = roomFor(100, 50);
    room.add(101);
    for (let number = 0; number < 20; number++) void come(number);
    room.remove(1);
    for (let turn = 0; turn < 20; turn++) {
      await setImmediate();
      // Each answers with nothing that waits.
      if (begun.length > turn) room.leave();
    }
    assertEquals(begun.length, 20);
  });

  it("says when more wait than a client can mean", () => {
    for (const [requests, most] of [[10, 200], [100, 400]] as const) {
      const { room, crowds } = roomFor(0, requests);
      room.add(1);
      for (let number = 0; number < most; number++) void room.wait();
      assertEquals(crowds(), 0);
      void room.wait();
      assertEquals(crowds(), 1);
    }
  });

  it("has nobody wait when it is closed", async () => {
    const { room, begun, come } = roomFor(0, 10);
    room.add(1);
    const all = [1, 2, 3].map(come);
    room.close();
    await Promise.all(all);
    assertEquals(begun, [1, 2, 3]);
  });
});
