/* Make the two dumps of sock_diag that ephemeral_usage() makes of TCP sockets, and count the sockets in the replies:
 * the unconnected and the connected ones of both families with a local port in a range. It keeps nothing of a socket:
 * it is a lower bound for measurements, not a tool.
 *
 *     dump FIRST LAST      prints the seconds that both dumps took, then the number of sockets
 */
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* BOUND_INACTIVE: include/net/tcp_states.h, since Linux 6.8; in requests only. */
enum { BLOCK = 1 << 16, BOUND_INACTIVE = 13 };

#define BIT(state) (1u << (state))
#define UNCONNECTED (BIT(TCP_LISTEN) | BIT(BOUND_INACTIVE))
/* All others but CLOSE, as in portrange/_backends/linux/usage.py. */
#define CONNECTED ((BIT(BOUND_INACTIVE) - BIT(TCP_ESTABLISHED)) & ~(BIT(TCP_CLOSE) | BIT(TCP_LISTEN)))

/* A comparison is two operations: itself, and the port to compare with. */
struct comparison {
    struct inet_diag_bc_op itself, port;
};

struct request {
    struct nlmsghdr header;
    struct inet_diag_req body;
    struct rtattr attribute;
    struct comparison program[2];
};

static union {
    struct nlmsghdr first;
    char bytes[BLOCK];
} block;

/* Count the sockets of a reply; -1 if it has an error. */
static long count_sockets(int netlink)
{
    long sockets = 0;
    for (;;) {
        ssize_t size = recv(netlink, block.bytes, sizeof block.bytes, 0);
        if (size <= 0)
            return -1;
        unsigned left = (unsigned)size;
        for (struct nlmsghdr *message = &block.first; NLMSG_OK(message, left); message = NLMSG_NEXT(message, left)) {
            if (message->nlmsg_type == NLMSG_DONE)
                return sockets;
            if (message->nlmsg_type != TCPDIAG_GETSOCK)
                return -1;
            sockets++;
        }
    }
}

static long dump(uint32_t states, uint16_t first, uint16_t last)
{
    struct comparison from = {{INET_DIAG_BC_S_GE, sizeof from, 2 * sizeof from + sizeof from.port}, {.no = first}};
    struct comparison to = {{INET_DIAG_BC_S_LE, sizeof to, sizeof to + sizeof to.port}, {.no = last}};
    struct request request = {
        .header = {sizeof request, TCPDIAG_GETSOCK, NLM_F_REQUEST | NLM_F_DUMP, 1, 0},
        .body = {.id.idiag_cookie = {INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE}, .idiag_states = states},
        .attribute = {sizeof request.attribute + sizeof request.program, INET_DIAG_REQ_BYTECODE},
        .program = {from, to},
    };
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    int netlink = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    if (netlink < 0)
        return -1;
    long sockets = -1;
    if (sendto(netlink, &request, sizeof request, 0, (struct sockaddr *)&kernel, sizeof kernel) == sizeof request)
        sockets = count_sockets(netlink);
    close(netlink);
    return sockets;
}

int main(int count, char **arguments)
{
    struct timespec before, after;
    if (count != 3)
        return 2;
    uint16_t first = (uint16_t)atoi(arguments[1]), last = (uint16_t)atoi(arguments[2]);
    clock_gettime(CLOCK_MONOTONIC, &before);
    long unconnected = dump(UNCONNECTED, first, last), connected = dump(CONNECTED, first, last);
    clock_gettime(CLOCK_MONOTONIC, &after);
    if (unconnected < 0 || connected < 0)
        return 1;
    printf("%.9f\n", (double)(after.tv_sec - before.tv_sec) + (double)(after.tv_nsec - before.tv_nsec) / 1e9);
    printf("%ld\n", unconnected + connected);
    return 0;
}
