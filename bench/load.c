/*
 * Opens TLS connections to 127.0.0.1, one after the other on several threads, each with one HTTP request, and tells
 * what each cost the server in CPU time, user's and system's together.
 *
 *   load threads
 *
 * Reads lines like "8443 1234 TLSv1.3 resumed 1000" (port, the server's process, milliseconds) and answers each with a
 * line of JSON. Linux only: elsewhere a process cannot read another's CPU clock.
 */

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/* What is asked for now. */
static struct sockaddr_in address;
static SSL_CTX *context;
static int resume;
static double end;

struct worker {
  pthread_t thread;
  SSL_SESSION *session; /* the latest */
  long connections, resumed, failures;
  char failure[256]; /* the latest */
};

static double now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

static void forget_session(struct worker *worker) {
  SSL_SESSION_free(worker->session);
  worker->session = NULL;
}

static int new_session(SSL *ssl, SSL_SESSION *session) {
  struct worker *worker = SSL_get_app_data(ssl);
  forget_session(worker);
  worker->session = session;
  return 1;
}

static int dial(void) {
  int socket_ = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  struct timeval patience = {5, 0};
  setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  if (connect(socket_, (struct sockaddr *)&address, sizeof address) == 0) return socket_;
  close(socket_);
  return -1;
}

static void fail(struct worker *worker, const char *what) {
  unsigned long code = ERR_get_error();
  const char *reason = code ? ERR_reason_error_string(code) : NULL;
  snprintf(worker->failure, sizeof worker->failure, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
  ERR_clear_error();
  worker->failures++;
  forget_session(worker);
  usleep(1000);
}

/* One connection, from its making to its end. */
static void visit(struct worker *worker) {
  int socket_ = dial();
  if (socket_ < 0) {
    fail(worker, "cannot connect");
    return;
  }
  SSL *ssl = SSL_new(context);
  SSL_set_fd(ssl, socket_);
  SSL_set_app_data(ssl, worker);
  if (resume && worker->session) {
    /* A copy: libssl spoils what it has used with TLS 1.3, and not every server sends another with a resumption. */
    SSL_SESSION *copy = SSL_SESSION_dup(worker->session);
    SSL_set_session(ssl, copy);
    SSL_SESSION_free(copy);
  }
  char answer[4096], start[12];
  size_t known = 0; /* of the start: it may come in several records */
  int length;
  if (SSL_connect(ssl) != 1) {
    fail(worker, "the handshake failed");
  } else {
    SSL_write(ssl, request, sizeof request - 1);
    while ((length = SSL_read(ssl, answer, sizeof answer)) > 0) {
      size_t missing = sizeof start - known, more = (size_t)length < missing ? (size_t)length : missing;
      memcpy(start + known, answer, more);
      known += more;
    }
    if (known < sizeof start || memcmp(start, "HTTP/1.1 200", sizeof start) != 0) {
      fail(worker, "no answer");
    } else {
      worker->connections++;
      worker->resumed += SSL_session_reused(ssl);
    }
    SSL_shutdown(ssl);
  }
  SSL_free(ssl);
  close(socket_);
}

static void *work(void *argument) {
  struct worker *worker = argument;
  while (now(CLOCK_MONOTONIC) < end) visit(worker);
  return NULL;
}

static SSL_CTX *make_context(int version) {
  SSL_CTX *made = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_min_proto_version(made, version);
  SSL_CTX_set_max_proto_version(made, version);
  SSL_CTX_set_session_cache_mode(made, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(made, new_session);
  return made;
}

int main(int count, char **arguments) {
  int threads = count > 1 ? atoi(arguments[1]) : 4;
  struct worker *workers = calloc(threads, sizeof *workers);
  SSL_CTX *contexts[] = {make_context(TLS1_2_VERSION), make_context(TLS1_3_VERSION)};
  signal(SIGPIPE, SIG_IGN);
  printf("{\"version\":\"%s\"}\n", OpenSSL_version(OPENSSL_VERSION));
  fflush(stdout);

  int port, process, milliseconds;
  char protocol[16], kind[16];
  while (scanf("%d %d %15s %15s %d", &port, &process, protocol, kind, &milliseconds) == 5) {
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    context = contexts[strcmp(protocol, "TLSv1.3") == 0];
    resume = strcmp(kind, "resumed") == 0;
    clockid_t clock;
    if (clock_getcpuclockid(process, &clock) != 0) {
      fprintf(stderr, "load: cannot read the CPU clock of process %d\n", process);
      return 1;
    }
    for (int i = 0; i < threads; i++) {
      struct worker *worker = &workers[i];
      forget_session(worker);
      visit(worker); /* for a session to resume */
      worker->connections = worker->resumed = worker->failures = 0;
      worker->failure[0] = 0;
    }
    double start = now(CLOCK_MONOTONIC), used = now(clock);
    end = start + milliseconds * 1e3;
    for (int i = 0; i < threads; i++) pthread_create(&workers[i].thread, NULL, work, &workers[i]);
    long connections = 0, resumed = 0, failures = 0;
    const char *failure = "";
    for (int i = 0; i < threads; i++) {
      pthread_join(workers[i].thread, NULL);
      connections += workers[i].connections;
      resumed += workers[i].resumed;
      failures += workers[i].failures;
      if (workers[i].failure[0]) failure = workers[i].failure;
    }
    double seconds = (now(CLOCK_MONOTONIC) - start) / 1e6;
    used = now(clock) - used;
    printf("{\"connections\":%ld,\"resumed\":%ld,\"failures\":%ld,\"failure\":\"%s\",\"perSecond\":%.0f,\"micros\":%.3f}\n",
           connections, resumed, failures, failure, connections / seconds, connections ? used / connections : 0);
    fflush(stdout);
  }
  return 0;
}
