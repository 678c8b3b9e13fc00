/**
 * An HTTPS server with metrics for Prometheus at GET /metrics, by the npm package prom-client.
 *
 *   deno run -A examples/metrics.ts
 *   bun examples/metrics.ts
 *   node examples/metrics.ts
 *
 * It takes the port as its argument, by default 8443. Keep /metrics from the public: have it answer on another port, or
 * to those you know.
 */

import process from "node:process";
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import { type LatencyHistogram, MemoryStore, openLibrary, selfSigned, serve, SessionCache } from "../mod.ts";

const sessions = new SessionCache({ store: new MemoryStore() });
const server = await serve({
  ...selfSigned(),
  hostname: "localhost",
  port: Number(process.argv[2] ?? 8443),
  sessions,
  onError: (error) => console.error(error.message),
}, async (request, { tls }) => {
  if (new URL(request.url).pathname === "/metrics") {
    return new Response(await registry.metrics(), { headers: { "content-type": registry.contentType } });
  }
  return new Response(`${tls.protocol}: ${tls.isResumed ? "resumed" : "a full handshake"}\n`);
});

const registry = new Registry();

/** A number that only grows, asked for when Prometheus comes. */
function counter(name: string, help: string, read: () => number): void {
  new Counter({
    name: `openssl_sessions_${name}_total`,
    help,
    registers: [registry],
    collect() {
      this.reset();
      this.inc(read());
    },
  });
}

/** The same, by reason. */
function counters(name: string, help: string, read: () => Record<string, number>): void {
  new Counter({
    name: `openssl_sessions_${name}_total`,
    help,
    labelNames: ["reason"],
    registers: [registry],
    collect() {
      this.reset();
      for (const [reason, count] of Object.entries(read())) this.inc({ reason }, count);
    },
  });
}

/** A number as it is now. */
function gauge(name: string, help: string, read: () => number): void {
  new Gauge({
    name: `openssl_sessions_${name}`,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

/** Latencies that the library has sorted into buckets already; prom-client would sort single ones only. */
function histogram(name: string, help: string, read: () => LatencyHistogram): void {
  const metric = new Histogram({ name: `openssl_sessions_${name}_seconds`, help, registers: [registry] });
  const get = () => {
    const { bounds, counts, sum } = read();
    let count = 0;
    const values = counts.map((more, index) => {
      const bound = bounds[index];
      count += more;
      return {
        metricName: `openssl_sessions_${name}_seconds_bucket`,
        labels: { le: bound === undefined ? "+Inf" : bound / 1000 },
        value: count,
      };
    });
    const total = [
      { metricName: `openssl_sessions_${name}_seconds_sum`, labels: {}, value: sum / 1000 },
      { metricName: `openssl_sessions_${name}_seconds_count`, labels: {}, value: count },
    ];
    return { name: `openssl_sessions_${name}_seconds`, help, type: "histogram", values: [...values, ...total] };
  };
  Object.assign(metric, { get, getForPromString: get });
}

new Gauge({
  name: "openssl_sessions_info",
  help: "The libssl in use, and the runtime",
  labelNames: ["version", "runtime"],
  registers: [registry],
}).set({ version: openLibrary().version, runtime: openLibrary().runtime }, 1);

gauge("connections", "Connections now", () => server.stats().connections);
gauge("handshaking_connections", "Connections in their handshake now", () => server.stats().handshaking);
gauge("active_requests", "Requests that are not answered yet", () => server.stats().activeRequests);
counter("accepted_connections", "Connections that came", () => server.stats().accepted);
counter("handshakes", "Handshakes that were completed", () => server.stats().handshakes);
counter("resumed_handshakes", "Those that resumed a session", () => server.stats().resumed);
counter("failed_handshakes", "Handshakes that failed", () => server.stats().failedHandshakes);
counter("received_bytes", "Plaintext bytes received", () => server.stats().bytesRead);
counter("sent_bytes", "Plaintext bytes sent", () => server.stats().bytesWritten);
counter("requests", "Requests that came", () => server.stats().requests);
counter("failed_requests", "Requests whose handler failed", () => server.stats().failedRequests);
counters("refused_connections", "Connections that were not let in", () => {
  const { refusedConnections, refusedPerAddress, refusedHandshakes, unauthorized } = server.stats();
  return {
    connections: refusedConnections,
    connections_of_address: refusedPerAddress,
    handshakes: refusedHandshakes,
    unauthorized,
  };
});
counters("cut_connections", "Connections that were closed at a limit", () => {
  const stats = server.stats();
  return {
    handshake_timeout: stats.handshakeTimeouts,
    header_timeout: stats.headerTimeouts,
    request_timeout: stats.requestTimeouts,
    idle_timeout: stats.idleTimeouts,
    buffered_bytes: stats.bufferOverflows,
    control_messages: stats.controlFloods,
    http2_frames: stats.http2Floods,
    http2_streams: stats.streamOverflows,
    protocol: stats.protocolMismatches,
  };
});

counter("lookups", "Sessions that the store was asked for", () => sessions.stats().lookups);
counter("lookup_hits", "Lookups that found a session", () => sessions.stats().hits);
counter("lookup_misses", "Lookups that found none", () => sessions.stats().misses);
counter("lookup_timeouts", "Lookups that took too long", () => sessions.stats().timedOut);
counter("stored_sessions", "Sessions handed to the store", () => sessions.stats().stored);
counter("removed_sessions", "Sessions that libssl removed", () => sessions.stats().removed);
counter("store_errors", "Failures of the store", () => sessions.stats().errors);
counters("refused_sessions", "Sessions that were offered and may not resume", () => {
  const stats = sessions.stats();
  return {
    foreign_id: stats.foreignIds,
    already_taken: stats.alreadyTaken,
    not_opened: stats.notOpened,
    too_old: stats.tooOld,
    from_the_future: stats.fromTheFuture,
    other_name: stats.otherName,
    other_context: stats.otherContext,
    other_version: stats.otherVersion,
    other_cipher: stats.otherCipher,
    client_certificate: stats.certificateRefused,
    revoked: stats.revokedMeanwhile,
  };
});
counters("lost_sessions", "Sessions that were not stored", () => {
  const { tooLarge, writeFailures, droppedWrites } = sessions.stats();
  return { too_large: tooLarge, store_failed: writeFailures, too_many_writes: droppedWrites };
});
histogram("store_lookup", "How long the store took to answer lookups", () => sessions.stats().lookupLatency);
histogram("store_write", "How long the store took to store", () => sessions.stats().storeLatency);

async function stop(): Promise<void> {
  await server.close();
  await sessions.close();
  process.exit(0);
}
process.once("SIGINT", stop);
process.once("SIGTERM", stop);
console.log(`https://localhost:${server.port}/metrics`);
