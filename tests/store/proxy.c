/* The faulty proxy: one thread, one poll loop, pairs of sockets. */
#include "proxy.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PAIRS = 64, CHUNK = 65536, TICK_MS = 20 };

typedef struct pair {
    int end[2]; /* the client's, the server's; -1: unused */
} pair;

struct proxy {
    pthread_t thread;
    int listener, port, server_port;
    atomic_int fault, left, fired, stop;
    pair pairs[PAIRS];
    unsigned char bytes[CHUNK];
};

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void cut(pair *p)
{
    for (int i = 0; i < 2; i++) {
        if (p->end[i] >= 0) close(p->end[i]);
        p->end[i] = -1;
    }
}

static void take(proxy *p)
{
    struct sockaddr_in to = loopback(p->server_port);
    int i = 0, client = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);

    if (client < 0) return;
    while (i < PAIRS && p->pairs[i].end[0] >= 0) i++;
    if (i == PAIRS || atomic_load(&p->fault) == PROXY_REFUSE) {
        atomic_store(&p->fired, 1);
        close(client);
        return;
    }
    p->pairs[i].end[0] = client;
    p->pairs[i].end[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(p->pairs[i].end[1], (struct sockaddr *)&to, sizeof to) != 0) cut(&p->pairs[i]);
}

static bool send_all(int fd, const unsigned char *bytes, ssize_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, (size_t)n, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        bytes += sent, n -= sent;
    }
    return true;
}

static bool closes_transaction(const unsigned char *bytes, ssize_t n)
{
    static const unsigned char idle[] = {'Z', 0, 0, 0, 5, 'I'};
    ssize_t size = (ssize_t)sizeof idle;

    return n >= size && memcmp(bytes + n - size, idle, sizeof idle) == 0;
}

/* Whether this chunk is the one to lose. */
static bool due(proxy *p, int from, ssize_t n)
{
    int fault = atomic_load(&p->fault);
    bool reply = from == 1 && closes_transaction(p->bytes, n);

    if (fault == PROXY_LOSE_REPLY && !reply) return false;
    if ((fault == PROXY_LOSE_REQUEST || fault == PROXY_SWALLOW) && from != 0) return false;
    if (fault == PROXY_FORWARD || fault == PROXY_REFUSE) return false;
    if (atomic_fetch_sub(&p->left, 1) > 0) return false;
    atomic_store(&p->fired, 1);
    if (fault != PROXY_SWALLOW) atomic_store(&p->fault, PROXY_FORWARD);
    return true;
}

static void forward(proxy *p, pair *one, int from)
{
    ssize_t n = recv(one->end[from], p->bytes, sizeof p->bytes, 0);

    if (n <= 0) {
        cut(one);
        return;
    }
    bool swallow = atomic_load(&p->fault) == PROXY_SWALLOW;
    if (due(p, from, n)) {
        if (!swallow) cut(one);
        return;
    }
    if (swallow && atomic_load(&p->fired)) return;
    if (!send_all(one->end[1 - from], p->bytes, n)) cut(one);
}

static void *proxy_loop(void *arg)
{
    proxy *p = arg;
    struct pollfd fds[1 + 2 * PAIRS];

    while (!atomic_load(&p->stop)) {
        fds[0] = (struct pollfd){.fd = p->listener, .events = POLLIN};
        for (int i = 0; i < 2 * PAIRS; i++)
            fds[1 + i] = (struct pollfd){.fd = p->pairs[i / 2].end[i % 2], .events = POLLIN};
        if (poll(fds, COUNT(fds), TICK_MS) <= 0) continue;
        for (int i = 0; i < 2 * PAIRS; i++) /* a pair may be cut by its other end */
            if (fds[1 + i].revents && p->pairs[i / 2].end[i % 2] == fds[1 + i].fd)
                forward(p, &p->pairs[i / 2], i % 2);
        if (fds[0].revents) take(p);
    }
    return NULL;
}

proxy *proxy_open(int server_port)
{
    struct sockaddr_in at = loopback(0);
    socklen_t size = sizeof at;
    proxy *p = calloc(1, sizeof *p);

    if (!p) abort();
    for (int i = 0; i < PAIRS; i++) p->pairs[i].end[0] = p->pairs[i].end[1] = -1;
    p->server_port = server_port;
    p->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(p->listener, (struct sockaddr *)&at, sizeof at) != 0 ||
        listen(p->listener, PAIRS) != 0 ||
        getsockname(p->listener, (struct sockaddr *)&at, &size) != 0 ||
        pthread_create(&p->thread, NULL, proxy_loop, p) != 0)
        abort();
    p->port = ntohs(at.sin_port);
    return p;
}

void proxy_close(proxy *p)
{
    if (!p) return;
    atomic_store(&p->stop, 1);
    pthread_join(p->thread, NULL);
    for (int i = 0; i < PAIRS; i++) cut(&p->pairs[i]);
    close(p->listener);
    free(p);
}

int proxy_port(const proxy *p)
{
    return p->port;
}

void proxy_set(proxy *p, proxy_fault fault, int n)
{
    atomic_store(&p->fault, PROXY_FORWARD);
    atomic_store(&p->fired, 0);
    atomic_store(&p->left, n);
    atomic_store(&p->fault, (int)fault);
}

bool proxy_fired(proxy *p)
{
    return atomic_load(&p->fired);
}

void proxy_url(const proxy *p, const char *url, char out[BACKEND_URL_SIZE])
{
    const char *host = "@127.0.0.1:", *at = strstr(url, host);
    size_t before = at ? (size_t)(at - url) : 0;
    const char *after = at ? strchr(at + strlen(host), '/') : NULL;

    snprintf(out, BACKEND_URL_SIZE, "%.*s%s%d%s", (int)before, url, host, p->port,
             after ? after : "");
}
