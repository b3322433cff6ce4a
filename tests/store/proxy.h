/* A proxy on loopback in front of the test server, which loses what it is told to lose.
 *
 * It knows one thing of the protocol: a reply of the server that ends in ReadyForQuery with no
 * transaction open says that all before it is committed. So a lost reply of that kind is a COMMIT
 * that was done and never heard of. */
#ifndef PROXY_H
#define PROXY_H
#include "backends.h"

typedef enum proxy_fault {
    PROXY_FORWARD,
    PROXY_LOSE_REPLY, /* the n-th reply that closes a transaction is dropped, the connection cut */
    PROXY_LOSE_REQUEST, /* the n-th request is dropped, the connection cut */
    PROXY_SWALLOW,      /* from the n-th request on nothing goes through, nothing is cut */
    PROXY_REFUSE        /* connections are cut as they come */
} proxy_fault;

typedef struct proxy proxy;
proxy *proxy_open(int server_port);
void proxy_close(proxy *p); /* NULL is fine */
int proxy_port(const proxy *p);
/* The fault happens once, at the n-th occasion from now (0: the next); PROXY_SWALLOW and
 * PROXY_REFUSE last until the next call. */
void proxy_set(proxy *p, proxy_fault fault, int n);
bool proxy_fired(proxy *p); /* whether the fault has happened since proxy_set */
/* `url` with the proxy's port. */
void proxy_url(const proxy *p, const char *url, char out[BACKEND_URL_SIZE]);
#endif
