/*
 * Handshakes in one process, both ends over memory BIOs: what OpenSSL itself costs. handshakes.ts does the same work
 * with the library.
 *
 *   handshakes certificate.pem key.pem
 *
 * Reads lines like "TLSv1.3 resumed 500" (milliseconds) and answers each with a line of JSON.
 */

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The store: a hash table with one place for each hash, so that it stays small however many sessions are made. */
struct stored {
  unsigned char id[SSL_MAX_SSL_SESSION_ID_LENGTH];
  unsigned int id_length;
  unsigned char *der;
  int der_length;
};

static struct stored store[4096];

/* The client's latest session. */
static SSL_SESSION *latest;

static void fail(const char *what) {
  fprintf(stderr, "handshakes: %s\n", what);
  ERR_print_errors_fp(stderr);
  exit(1);
}

static struct stored *place(const unsigned char *id, unsigned int length) {
  unsigned int hash = length > 1 ? (unsigned int)id[0] << 8 | id[1] : 0;
  return &store[hash % (sizeof store / sizeof store[0])];
}

static void forget(struct stored *stored) {
  free(stored->der);
  stored->der = NULL;
  stored->id_length = 0;
}

static int server_new_session(SSL *ssl, SSL_SESSION *session) {
  unsigned int length;
  const unsigned char *id = SSL_SESSION_get_id(session, &length);
  struct stored *stored = place(id, length);
  forget(stored);
  stored->der_length = i2d_SSL_SESSION(session, NULL);
  unsigned char *position = stored->der = malloc(stored->der_length);
  i2d_SSL_SESSION(session, &position);
  memcpy(stored->id, id, length);
  stored->id_length = length;
  return 0;
}

static SSL_SESSION *server_get_session(SSL *ssl, const unsigned char *id, int length, int *copy) {
  struct stored *stored = place(id, length);
  *copy = 0;
  if (stored->der == NULL || stored->id_length != (unsigned int)length || memcmp(stored->id, id, length) != 0) return NULL;
  const unsigned char *position = stored->der;
  SSL_SESSION *session = d2i_SSL_SESSION(NULL, &position, stored->der_length);
  if (SSL_version(ssl) == TLS1_3_VERSION) forget(stored); /* single-use */
  return session;
}

static int client_new_session(SSL *ssl, SSL_SESSION *session) {
  if (latest != NULL) SSL_SESSION_free(latest);
  latest = session;
  return 1;
}

static SSL_CTX *make_server(int version, const char *certificate, const char *key) {
  SSL_CTX *context = SSL_CTX_new(TLS_server_method());
  SSL_CTX_set_min_proto_version(context, version);
  SSL_CTX_set_max_proto_version(context, version);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_num_tickets(context, 1);
  SSL_CTX_set_session_id_context(context, (const unsigned char *)"bench", 5);
  SSL_CTX_set_session_cache_mode(
      context, SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL | SSL_SESS_CACHE_NO_AUTO_CLEAR);
  SSL_CTX_sess_set_new_cb(context, server_new_session);
  SSL_CTX_sess_set_get_cb(context, server_get_session);
  if (SSL_CTX_use_certificate_chain_file(context, certificate) != 1 ||
      SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1)
    fail("cannot use the certificate");
  return context;
}

static SSL_CTX *make_client(void) {
  SSL_CTX *context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, client_new_session);
  return context;
}

static SSL *make_end(SSL_CTX *context, BIO **input, BIO **output) {
  SSL *ssl = SSL_new(context);
  *input = BIO_new(BIO_s_mem());
  *output = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, *input, *output);
  return ssl;
}

static void move(BIO *from, BIO *to) {
  static unsigned char buffer[16384];
  int length;
  do {
    length = BIO_read(from, buffer, sizeof buffer);
    if (length > 0) BIO_write(to, buffer, length);
  } while (length == sizeof buffer);
}

static int step(SSL *ssl) {
  ERR_clear_error();
  int result = SSL_do_handshake(ssl);
  if (result != 1 && SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ) fail("the handshake failed");
  return result == 1;
}

/* One connection from its making to its end. Answers whether it was resumed. */
static int handshake(SSL_CTX *server_context, SSL_CTX *client_context, int resume) {
  BIO *server_input, *server_output, *client_input, *client_output;
  SSL *server = make_end(server_context, &server_input, &server_output);
  SSL *client = make_end(client_context, &client_input, &client_output);
  SSL_set_accept_state(server);
  SSL_set_connect_state(client);
  if (resume && latest != NULL) SSL_set_session(client, latest);

  int server_done = 0, client_done = 0;
  while (!server_done || !client_done) {
    if (!client_done) client_done = step(client);
    move(client_output, server_input);
    if (!server_done) server_done = step(server);
    move(server_output, client_input);
  }
  /* With TLS 1.3 the ticket comes after the handshake. */
  unsigned char byte;
  SSL_read(client, &byte, 1);

  int resumed = SSL_session_reused(server);
  SSL_set_shutdown(client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_set_shutdown(server, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  SSL_free(client);
  SSL_free(server);
  return resumed;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1e6 + time.tv_nsec / 1e3;
}

int main(int count, char **arguments) {
  if (count != 3) fail("usage: handshakes certificate.pem key.pem");
  SSL_CTX *client_context = make_client();
  SSL_CTX *servers[] = {
      make_server(TLS1_2_VERSION, arguments[1], arguments[2]),
      make_server(TLS1_3_VERSION, arguments[1], arguments[2]),
  };
  printf("{\"version\":\"%s\"}\n", OpenSSL_version(OPENSSL_VERSION));
  fflush(stdout);

  char protocol[16], kind[16];
  int milliseconds;
  while (scanf("%15s %15s %d", protocol, kind, &milliseconds) == 3) {
    SSL_CTX *server_context = servers[strcmp(protocol, "TLSv1.3") == 0];
    int resume = strcmp(kind, "resumed") == 0;
    handshake(server_context, client_context, 0); /* for a session of this protocol */
    long handshakes = 0, resumed = 0;
    double start = now(), end = start + milliseconds * 1e3, time = start;
    while (time < end) {
      for (int i = 0; i < 20; i++) resumed += handshake(server_context, client_context, resume);
      handshakes += 20;
      time = now();
    }
    if (resumed != (resume ? handshakes : 0)) fail("not every handshake went the way that was asked for");
    printf("{\"handshakes\":%ld,\"micros\":%.3f}\n", handshakes, (time - start) / handshakes);
    fflush(stdout);
  }
  return 0;
}
