// SPDX-License-Identifier: Apache-2.0
/*
 * Receives in one of the ways that Linux has for it (--how): over TCP one connection to its end,
 * over UDP N datagrams. It never sends. With --fork the parent opens the socket, and a child
 * accepts and receives.
 */
#include "uring.h"
#include <fcntl.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define BLOCK 65536
#define BATCH 8

struct plan {
	const char *address;
	const char *how;
	long port;
	long count;
	long size;
	long protocol; /* 0: the usual one */
	bool udp;
	bool fast_open;
	bool sqpoll;
	bool async;
	bool fork;
};

static uint8_t block[BLOCK];

/* What the ways share: each call of `next` receives something, the end (0) or a failure (-1). */
struct receiver {
	const struct plan *plan;
	int socket_fd;
	int pipe_fds[2];
	void *mapped;
	struct uring ring;
	long messages; /* of the last receive */
};

static ssize_t next_readv(struct receiver *r)
{
	struct iovec parts[2] = {{block, 1}, {block + 1, BLOCK - 1}};

	return readv(r->socket_fd, parts, 2);
}

static ssize_t next_from(struct receiver *r)
{
	union endpoint peer;
	socklen_t length = sizeof(peer);

	return recvfrom(r->socket_fd, block, BLOCK, 0, &peer.any, &length);
}

static ssize_t next_mmsg(struct receiver *r)
{
	static uint8_t blocks[BATCH][2048];
	struct mmsghdr messages[BATCH] = {0};
	struct iovec parts[BATCH];
	ssize_t octets = 0;
	int got;

	for (int i = 0; i < BATCH; i++) {
		parts[i] = (struct iovec){blocks[i], sizeof(blocks[i])};
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
	}
	got = recvmmsg(r->socket_fd, messages, BATCH, MSG_WAITFORONE, NULL);
	if (got < 0)
		return -1;
	for (int i = 0; i < got; i++)
		octets += messages[i].msg_len;
	r->messages = got;
	return octets;
}

static ssize_t next_splice(struct receiver *r)
{
	ssize_t got = splice(r->socket_fd, NULL, r->pipe_fds[1], NULL, BLOCK, 0);

	if (got > 0 && read(r->pipe_fds[0], block, got) != got)
		fail("read from a pipe");
	return got;
}

/* Looks at everything and takes nothing: the second look begins where the first did. */
static ssize_t next_peek(struct receiver *r)
{
	ssize_t got = recv(r->socket_fd, block, BLOCK, MSG_PEEK);

	if (r->plan->udp)
		return got;
	while (got >= 0 && got < r->plan->size)
		got = recv(r->socket_fd, block, r->plan->size, MSG_PEEK | MSG_WAITALL);
	return got;
}

/* What is less than a page comes by copy, yet through the same call. */
static ssize_t next_zerocopy(struct receiver *r)
{
	struct tcp_zerocopy_receive request = {
		.address = (uintptr_t)r->mapped,
		.length = BLOCK,
		.copybuf_address = (uintptr_t)block,
		.copybuf_len = BLOCK,
	};
	struct pollfd ready = {r->socket_fd, POLLIN | POLLRDHUP, 0};
	socklen_t length = sizeof(request);

	if (poll(&ready, 1, -1) < 0)
		fail("poll");
	if (getsockopt(r->socket_fd, IPPROTO_TCP, TCP_ZEROCOPY_RECEIVE, &request, &length) != 0)
		return errno == EIO ? 0 : -1; /* EIO: the peer has closed */
	if (request.recv_skip_hint != 0) {
		fprintf(stderr, "TCP_ZEROCOPY_RECEIVE left %u octets\n", request.recv_skip_hint);
		exit(1);
	}
	return request.length + request.copybuf_len;
}

static ssize_t next_uring(struct receiver *r)
{
	bool read = strcmp(r->plan->how, "uring-read") == 0;
	struct io_uring_sqe request = {
		.opcode = read ? IORING_OP_READ : IORING_OP_RECV,
		.fd = r->socket_fd,
		.addr = (uintptr_t)block,
		.len = BLOCK,
	};

	return uring_do(&r->ring, request, r->plan->how);
}

static ssize_t next_uring_message(struct receiver *r)
{
	struct iovec part = {block, BLOCK};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
	struct io_uring_sqe request = {
		.opcode = IORING_OP_RECVMSG,
		.fd = r->socket_fd,
		.addr = (uintptr_t)&message,
		.len = 1,
	};

	return uring_do(&r->ring, request, r->plan->how);
}

static const struct {
	const char *name;
	ssize_t (*next)(struct receiver *receiver);
} ways[] = {
	{"readv", next_readv},
	{"recvfrom", next_from},
	{"recvmmsg", next_mmsg},
	{"splice", next_splice},
	{"peek", next_peek},
	{"zerocopy", next_zerocopy},
	{"uring-recv", next_uring},
	{"uring-read", next_uring},
	{"uring-recvmsg", next_uring_message},
};

static void prepare(struct receiver *r)
{
	if (strncmp(r->plan->how, "uring-", 6) == 0)
		r->ring = uring_open(r->plan->sqpoll, r->plan->async);
	if (pipe(r->pipe_fds) != 0)
		fail("pipe");
	if (strcmp(r->plan->how, "zerocopy") != 0)
		return;
	r->mapped = mmap(NULL, BLOCK, PROT_READ, MAP_SHARED, r->socket_fd, 0);
	if (r->mapped == MAP_FAILED)
		fail("mmap of the socket");
}

static void receive(const struct plan *plan, int socket_fd)
{
	struct receiver r = {.plan = plan, .socket_fd = socket_fd};
	bool datagrams = plan->udp, peek = strcmp(plan->how, "peek") == 0;
	int port = local_port(socket_fd);
	long octets = 0, count = 0;
	size_t way = 0;
	ssize_t got;

	while (way < sizeof(ways) / sizeof(ways[0]) && strcmp(ways[way].name, plan->how) != 0)
		way++;
	if (way == sizeof(ways) / sizeof(ways[0]))
		usage("no such way to receive");
	prepare(&r);
	do {
		r.messages = 1;
		got = ways[way].next(&r);
		if (got < 0)
			fail(plan->how);
		octets += got;
		count += got > 0 ? r.messages : 0;
	} while (datagrams ? count < plan->count : !peek && got > 0);
	report("done", ",\"port\":%d,\"packets\":%ld,\"received_octets\":%ld", port, count, octets);
	close(socket_fd);
}

static void accept_and_receive(const struct plan *plan, int socket_fd)
{
	int accepted_fd;

	if (plan->udp) {
		receive(plan, socket_fd);
		return;
	}
	accepted_fd = accept(socket_fd, NULL, NULL);
	if (accepted_fd < 0)
		fail("accept");
	receive(plan, accepted_fd);
}

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.address = "::", .count = 3, .size = 100};
	const struct argument known[] = {
		{"address", .text = &plan.address},	{"how", .text = &plan.how},
		{"port", .number = &plan.port},		{"count", .number = &plan.count},
		{"size", .number = &plan.size},		{"protocol", .number = &plan.protocol},
		{"fast-open", .flag = &plan.fast_open}, {"udp", .flag = &plan.udp},
		{"sqpoll", .flag = &plan.sqpoll},	{"async", .flag = &plan.async},
		{"fork", .flag = &plan.fork},		{0},
	};
	const char *text = "io-receiver --how WAY [--address ADDRESS] [--port N] [--udp] "
			   "[--count N] [--size N] [--sqpoll] [--async] [--fork] [--protocol N] "
			   "[--fast-open]";

	parse_arguments(argc, argv, known, text);
	if (!plan.how || plan.size > BLOCK)
		usage(text);
	return plan;
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	union endpoint local = endpoint(plan.address, plan.port);
	int type = plan.udp ? SOCK_DGRAM : SOCK_STREAM, queue = 8, status = 0;
	int socket_fd = open_socket(local.any.sa_family, type, plan.protocol);

	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (plan.fast_open &&
	    setsockopt(socket_fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof(queue)) != 0)
		fail("TCP_FASTOPEN");
	if (!plan.udp && listen(socket_fd, queue) != 0)
		fail("listen");
	report("ready", ",\"port\":%d", local_port(socket_fd));
	if (!plan.fork) {
		accept_and_receive(&plan, socket_fd);
		return 0;
	}
	if (fork() == 0) {
		accept_and_receive(&plan, socket_fd);
		return 0;
	}
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
