import { assert, assertEquals } from "@std/assert";
import { closeLibrary, Session, SessionReleasedError, type SslConnection } from "../../mod.ts";
import { held } from "../../ssl/library.ts";
import { assertNothingLeft, standing } from "../counts.ts";
import { hostileBytes } from "./hostile_bytes.ts";
import { scriptCallbacks } from "./ownership_callbacks.ts";
import { cacheSteps } from "./ownership_caches.ts";
import { call, type Pair, World } from "./ownership_world.ts";
import type { Random } from "./random.ts";
import { outcome, requireExpected, type Target, ThrownOnPurpose } from "./target.ts";

/**
 * Random sequences of the public calls of ssl/, from within callbacks too, against a model of who owns what: an object
 * works for as long as the model says that it lives, a ReleasedError comes from then on, the library counts what the
 * model counts, and in the end nothing is left of libssl's objects.
 */
export const ownership: Target = {
  name: "ownership",
  run(random) {
    const before = standing();
    const world = new World(random, step);
    try {
      for (let left = random.between(5, 80); left > 0; left--) {
        step(world);
        check(world);
      }
    } finally {
      world.end();
      world.isOver = true;
    }
    assertNothingLeft(before);
  },
};

type Step = (world: World, random: Random) => void;

/** One random call. Also made from within callbacks. */
function step(world: World): void {
  const { random } = world;
  const all = [...anywhere, ...cacheSteps, ...(world.depth === 0 ? outsideOnly : [])];
  random.pick(all)(world, random);
}

function check(world: World): void {
  const expected = world.expectedHeld();
  // Those that caches have opened for handshakes are beside them, until the connections end.
  if (world.caches.length > 0) expected.sessions = Math.max(expected.sessions, held.sessions);
  assertEquals({ ...held }, expected);
  for (const { object, lives } of [...world.sessions, ...world.connections()]) {
    assertEquals(!object.isReleased, lives, "whether an object has ended");
  }
  const dead = world.sessions.find(({ lives }) => !lives);
  if (dead) assert(outcome(() => dead.object.toDer()) instanceof SessionReleasedError);
}

const anywhere: Step[] = [
  function disposeSession(world, random) {
    if (world.sessions.length > 0) world.endSession(random.pick(world.sessions));
  },
  function cloneSession(world, random) {
    if (world.sessions.length === 0) return;
    const from = random.pick(world.sessions);
    call(world, [from], () => world.own(from.object.clone()));
  },
  function copySession(world, random) {
    if (world.sessions.length === 0) return;
    const from = random.pick(world.sessions);
    const asText = random.oneIn(3);
    call(
      world,
      [from],
      () => world.own(asText ? Session.fromPem(from.object.toPem()) : Session.fromDer(from.object.toDer())),
    );
  },
  function lookAtSession(world, random) {
    if (world.sessions.length === 0) return;
    const from = random.pick(world.sessions);
    const names = ["id", "protocol", "cipher", "created", "timeout", "serverName", "isResumable", "peerCertificate"];
    const name = random.pick(names) as "id";
    call(world, [from], () => from.object[name]);
  },
  function changeSession(world, random) {
    if (world.sessions.length === 0) return;
    const session = random.pick(world.sessions);
    call(world, [session], () => {
      if (random.oneIn(2)) session.object.timeout = random.below(10_000);
      else session.object.created = new Date(Date.now() + random.between(-100_000, 100_000));
    });
  },
  function addSession(world, random) {
    if (world.sessions.length === 0 || world.contexts.length === 0) return;
    const [context, session] = [random.pick(world.contexts), random.pick(world.sessions)];
    call(world, [context, session], () => context.object.addSession(session.object));
  },
  function removeSession(world, random) {
    if (world.sessions.length === 0 || world.contexts.length === 0) return;
    const [context, session] = [random.pick(world.contexts), random.pick(world.sessions)];
    call(world, [context, session], () => context.object.removeSession(session.object));
  },
  function flushSessions(world, random) {
    if (world.contexts.length === 0) return;
    const context = random.pick(world.contexts);
    call(world, [context], () => context.object.flushSessions(random.oneIn(2) ? "all" : new Date()));
  },
  function disposeContext(world, random) {
    if (world.contexts.length > 0 && random.oneIn(3)) world.endContext(random.pick(world.contexts));
  },
  function setCallbacks(world, random) {
    if (world.contexts.length === 0) return;
    const context = random.pick(world.contexts);
    call(world, [context], () => scriptCallbacks(world, context.object));
  },
  function changeContext(world, random) {
    if (world.contexts.length === 0) return;
    const context = random.pick(world.contexts);
    call(world, [context], () => {
      const { object } = context;
      random.pick([
        () => object.sessionCacheMode = random.below(0x400),
        () => object.sessionCacheSize = random.below(4),
        () => object.sessionTimeout = random.between(1, 1000),
        () => object.numTickets = random.below(4),
        () => object.counters(),
        () => object.setSessionIdContext(random.bytes(random.between(0, 33))),
      ])();
    });
  },
  function newPair(world, random) {
    if (world.pairs.length >= 6) return;
    const [server, client] = [world.aContext("server"), world.aContext("client")];
    const offered = world.sessions.length > 0 && random.oneIn(2) ? random.pick(world.sessions) : undefined;
    call(world, [server, client, ...(offered ? [offered] : [])], () => world.makePair(server, client, offered));
  },
  function move(world, random) {
    const pair = world.aPair();
    if (pair) moveOn(world, pair, random);
  },
  function shakeHands(world, random) {
    const pair = world.aPair();
    if (!pair) return;
    for (let turn = random.between(2, 8); turn > 0 && bothLive(pair); turn--) {
      const { client, server } = pair;
      call(world, [client], () => client.object.handshake());
      world.carry(client, server);
      call(world, [server], () => server.object.handshake());
      world.carry(server, client);
    }
    if (bothLive(pair)) call(world, [pair.client], () => pair.client.object.read(new Uint8Array(10)));
  },
  function endPair(world, random) {
    const pair = world.aPair();
    if (!pair) return;
    for (const end of random.oneIn(2) ? [pair.client, pair.server] : [pair.server]) {
      if (random.oneIn(2)) call(world, [end], () => end.object.shutdown());
      world.endConnection(end);
    }
  },
  function closeInUse(world) {
    if (world.depth === 0 && Object.values(world.expectedHeld()).every((count) => count === 0)) return;
    assert(outcome(closeLibrary) !== undefined, "The library closed while it was in use");
  },
];

const outsideOnly: Step[] = [
  function newContext(world) {
    if (world.contexts.length < 8) world.makeContext();
  },
  function closeUnused(world, random) {
    if (!random.oneIn(20)) return;
    world.end();
    closeLibrary();
  },
];

function bothLive({ client, server }: Pair): boolean {
  return client.lives && server.lives;
}

const thrown = new ThrownOnPurpose("a transport's");

function moveOn(world: World, pair: Pair, random: Random): void {
  const [one, other] = random.oneIn(2) ? [pair.client, pair.server] : [pair.server, pair.client];
  const { object } = one;
  const bytes = () => random.oneIn(8) ? hostileBytes(random) : random.bytes(random.below(2000));
  const moves: ((connection: SslConnection) => unknown)[] = [
    () => object.handshake(),
    () => object.handshake(),
    () => object.read(bytes()),
    () => object.write(bytes()),
    () => object.shutdown(),
    () => object.shutdownQuietly(),
    () => object.pullCiphertext(bytes()),
    () => random.oneIn(10) && object.pushCiphertext(bytes()),
    () => {
      object.onWake = random.pick([undefined, () => world.reenter(), () => Promise.reject(thrown), () => {
        throw thrown;
      }]);
      object.wake();
    },
    () => object.exportKeyingMaterial(random.below(70), "EXPORTER", random.oneIn(2) ? bytes() : undefined),
    () => world.release(object.holdCiphertext()),
    () => {
      const session = object.session();
      if (session) world.own(session);
    },
    () => [object.protocol, object.cipher, object.sessionId, object.peerCertificate, object.verifyResult],
  ];
  // Not what the first of them throws only: a dead connection must refuse whatever is asked of it.
  const act = random.pick(moves);
  if (one.lives) call(world, [one], () => act(object));
  else requireExpected(outcome(() => object.handshake()));
  if (one.lives && other.lives) world.carry(one, other);
}
