// SPDX-License-Identifier: Apache-2.0
/*
 * Sends N times S octets over TCP or UDP in one of the ways that Linux has for it (--how). With
 * --fork the parent opens and connects the socket, and a child that has inherited it sends. With
 * --uid another user sends than the one that has opened the socket.
 */
#include "uring.h"
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/tcp.h>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <sys/wait.h>

#define MAX_SIZE 65000
#define BATCH	 8

struct plan {
	const char *address;
	const char *how;
	long port;
	long count;
	long size;
	long protocol; /* 0: the usual one */
	long uid;
	long idle_seconds;
	bool udp;
	bool fast_open;
	bool sqpoll;
	bool async;
	bool fork;
};

static uint8_t payload[MAX_SIZE];

static void expect(ssize_t done, ssize_t wanted, const char *operation)
{
	if (done < 0)
		fail(operation);
	if (done != wanted) {
		fprintf(stderr, "%s: %zd of %zd octets\n", operation, done, wanted);
		exit(1);
	}
}

static void send_write(int socket_fd, const struct plan *plan)
{
	for (long i = 0; i < plan->count; i++)
		expect(write(socket_fd, payload, plan->size), plan->size, "write");
}

static void send_writev(int socket_fd, const struct plan *plan)
{
	struct iovec parts[2] = {{payload, 1}, {payload + 1, plan->size - 1}};

	for (long i = 0; i < plan->count; i++)
		expect(writev(socket_fd, parts, 2), plan->size, "writev");
}

static void send_mmsg(int socket_fd, const struct plan *plan)
{
	struct iovec part = {payload, plan->size};
	struct mmsghdr messages[BATCH] = {0};

	for (int i = 0; i < BATCH; i++)
		messages[i].msg_hdr = (struct msghdr){.msg_iov = &part, .msg_iovlen = 1};
	for (long left = plan->count, sent; left > 0; left -= sent) {
		sent = sendmmsg(socket_fd, messages, left < BATCH ? left : BATCH, 0);
		if (sent < 0)
			fail("sendmmsg");
	}
}

static void send_file(int socket_fd, const struct plan *plan)
{
	int file_fd = memfd_create("payload", 0);

	expect(write(file_fd, payload, plan->size), plan->size, "write to a file");
	for (long i = 0; i < plan->count; i++) {
		off_t offset = 0;

		expect(sendfile(socket_fd, file_fd, &offset, plan->size), plan->size, "sendfile");
	}
}

static void send_splice(int socket_fd, const struct plan *plan)
{
	int pipe_fds[2];

	if (pipe(pipe_fds) != 0)
		fail("pipe");
	if (fcntl(pipe_fds[1], F_SETPIPE_SZ, 1 << 20) < 0)
		fail("F_SETPIPE_SZ");
	for (long i = 0; i < plan->count; i++) {
		expect(write(pipe_fds[1], payload, plan->size), plan->size, "write to a pipe");
		expect(splice(pipe_fds[0], NULL, socket_fd, NULL, plan->size, 0), plan->size,
		       "splice");
	}
}

/* The kernel tells on the error queue from when on the pages of a send are free again. */
static void await_completion(int socket_fd, uint32_t last)
{
	for (;;) {
		uint8_t control[256];
		struct msghdr message = {.msg_control = control, .msg_controllen = sizeof(control)};
		struct pollfd ready = {socket_fd, 0, 0}; /* POLLERR comes unasked */
		struct sock_extended_err *error;

		if (poll(&ready, 1, -1) < 0)
			fail("poll");
		if (recvmsg(socket_fd, &message, MSG_ERRQUEUE) < 0) {
			if (errno == EAGAIN)
				continue;
			fail("recvmsg(MSG_ERRQUEUE)");
		}
		error = (void *)CMSG_DATA(CMSG_FIRSTHDR(&message));
		if (error->ee_origin != SO_EE_ORIGIN_ZEROCOPY)
			continue;
		if (error->ee_data >= last)
			return;
	}
}

static void send_zerocopy(int socket_fd, const struct plan *plan)
{
	int on = 1;

	if (setsockopt(socket_fd, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof(on)) != 0)
		fail("SO_ZEROCOPY");
	for (long i = 0; i < plan->count; i++) {
		expect(send(socket_fd, payload, plan->size, MSG_ZEROCOPY), plan->size,
		       "send(MSG_ZEROCOPY)");
		await_completion(socket_fd, i);
	}
}

static void send_uring(int socket_fd, const struct plan *plan, struct io_uring_sqe request)
{
	struct uring ring = uring_open(plan->sqpoll, plan->async);

	request.fd = socket_fd;
	for (long i = 0; i < plan->count; i++)
		expect(uring_do(&ring, request, plan->how), plan->size, plan->how);
	close(ring.fd);
}

static void send_uring_plain(int socket_fd, const struct plan *plan)
{
	struct io_uring_sqe request = {.addr = (uintptr_t)payload, .len = plan->size};
	bool zero_copy = strcmp(plan->how, "uring-send-zc") == 0;
	bool write = strcmp(plan->how, "uring-write") == 0;

	request.opcode = zero_copy ? IORING_OP_SEND_ZC : write ? IORING_OP_WRITE : IORING_OP_SEND;
	send_uring(socket_fd, plan, request);
}

static void send_uring_message(int socket_fd, const struct plan *plan)
{
	struct iovec part = {payload, plan->size};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	send_uring(socket_fd, plan,
		   (struct io_uring_sqe){
			   .opcode = IORING_OP_SENDMSG, .addr = (uintptr_t)&message, .len = 1});
}

static const struct {
	const char *name;
	void (*send)(int socket_fd, const struct plan *plan);
} ways[] = {
	{"write", send_write},
	{"writev", send_writev},
	{"sendmmsg", send_mmsg},
	{"sendfile", send_file},
	{"splice", send_splice},
	{"zerocopy", send_zerocopy},
	{"uring-send", send_uring_plain},
	{"uring-send-zc", send_uring_plain},
	{"uring-write", send_uring_plain},
	{"uring-sendmsg", send_uring_message},
};

static void send_all(int socket_fd, const struct plan *plan)
{
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		if (strcmp(ways[i].name, plan->how) == 0) {
			ways[i].send(socket_fd, plan);
			return;
		}
	}
	fprintf(stderr, "no such way to send: %s\n", plan->how);
	exit(2);
}

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.count = 3, .size = 100};
	const struct argument known[] = {
		{"to", .text = &plan.address},
		{"how", .text = &plan.how},
		{"port", .number = &plan.port},
		{"count", .number = &plan.count},
		{"size", .number = &plan.size},
		{"protocol", .number = &plan.protocol},
		{"uid", .number = &plan.uid},
		{"idle-seconds", .number = &plan.idle_seconds},
		{"fast-open", .flag = &plan.fast_open},
		{"udp", .flag = &plan.udp},
		{"sqpoll", .flag = &plan.sqpoll},
		{"async", .flag = &plan.async},
		{"fork", .flag = &plan.fork},
		{0},
	};
	const char *text = "io-sender --to ADDRESS --port N --how WAY [--udp] [--count N] "
			   "[--size N] [--sqpoll] [--async] [--fork] [--protocol N] [--uid N] "
			   "[--fast-open] [--idle-seconds N]";

	parse_arguments(argc, argv, known, text);
	if (!plan.address || !plan.how || plan.size < 2 || plan.size > MAX_SIZE)
		usage(text);
	return plan;
}

/* With a keepalive probe each second: the kernel sends it, for the process. */
static void stay_idle(int socket_fd, int seconds)
{
	int on = 1;

	if (setsockopt(socket_fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) != 0 ||
	    setsockopt(socket_fd, IPPROTO_TCP, TCP_KEEPIDLE, &on, sizeof(on)) != 0 ||
	    setsockopt(socket_fd, IPPROTO_TCP, TCP_KEEPINTVL, &on, sizeof(on)) != 0)
		fail("SO_KEEPALIVE");
	sleep(seconds);
}

static void send_and_report(int socket_fd, const struct plan *plan, int family)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	int port;

	if (plan->uid && setuid(plan->uid) != 0)
		fail("setuid");
	send_all(socket_fd, plan);
	port = local_port(socket_fd);
	if (plan->udp) {
		report("done", ",\"port\":%d,\"packets\":%ld,\"octets\":%ld", port, plan->count,
		       plan->count * (ip_header_length(family) + 8 + plan->size));
		return;
	}
	if (plan->idle_seconds)
		stay_idle(socket_fd, plan->idle_seconds);
	/* The peer closes after it has read everything; one that only peeks, with a reset. */
	if (shutdown(socket_fd, SHUT_WR) != 0 && errno != ENOTCONN)
		fail("shutdown");
	while (poll(&(struct pollfd){socket_fd, POLLRDHUP, 0}, 1, -1) < 0)
		if (errno != EINTR)
			fail("poll");
	if (getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		fail("TCP_INFO");
	report("done", ",\"port\":%d,\"sent_octets\":%ld,\"transmitted_octets\":%llu", port,
	       plan->count * plan->size, info.tcpi_bytes_sent);
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, plan.port);
	int type = plan.udp ? SOCK_DGRAM : SOCK_STREAM, on = 1, status = 0;
	int socket_fd = open_socket(peer.any.sa_family, type, plan.protocol);

	if (plan.fast_open &&
	    setsockopt(socket_fd, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &on, sizeof(on)) != 0)
		fail("TCP_FASTOPEN_CONNECT");
	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (!plan.fork) {
		send_and_report(socket_fd, &plan, peer.any.sa_family);
		return 0;
	}
	if (fork() == 0) {
		send_and_report(socket_fd, &plan, peer.any.sa_family);
		return 0;
	}
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
