// SPDX-License-Identifier: Apache-2.0
/*
 * Connects, by SCTP if asked to, sends N octets, reads what comes back if asked to, and exits at
 * once. --parallel opens all connections before it talks on the first; --parts sends the octets in
 * so many pieces, with --wait each when the test says so, with --wait-between each but the first.
 */
#include "generator.h"
#include <linux/tcp.h>
#include <poll.h>

#define MOST_CONNECTIONS 1024

struct plan {
	const char *address;
	long port;
	long source_port;
	long octets;
	long connections;
	long parts;
	long pause_ms;
	long inherited_fd;
	bool parallel;
	bool duplicate;
	bool read_echo;
	bool sctp;
	bool wait;
	bool wait_between;
};

static int connect_to(const struct plan *plan)
{
	union endpoint peer = endpoint(plan->address, plan->port);
	int socket_fd = open_socket(peer.any.sa_family, SOCK_STREAM, plan->sctp ? IPPROTO_SCTP : 0);
	int copy;

	if (plan->source_port != 0)
		bind_port(socket_fd, peer.any.sa_family, plan->source_port);
	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (!plan->duplicate)
		return socket_fd;
	copy = dup(socket_fd);
	close(socket_fd);
	return copy;
}

/* Reads, with `all` until the peer has closed, else what is there. */
static long receive(int socket_fd, bool all)
{
	static char block[65536];
	long octets = 0;
	ssize_t got;

	while ((got = recv(socket_fd, block, sizeof(block), all ? 0 : MSG_DONTWAIT)) > 0)
		octets += got;
	if (got < 0 && (all || errno != EAGAIN))
		fail("recv");
	return octets;
}

/* Reads the echo in between: a peer that cannot send stops reading. Returns what it read. */
static long send_octets(int socket_fd, long octets, bool read_echo)
{
	static char block[65536];
	long received = 0;

	while (octets > 0) {
		struct pollfd ready = {socket_fd, POLLOUT | (read_echo ? POLLIN : 0), 0};
		ssize_t sent;

		if (poll(&ready, 1, -1) < 0)
			fail("poll");
		if (ready.revents & POLLIN)
			received += receive(socket_fd, false);
		sent = send(socket_fd, block,
			    octets < (long)sizeof(block) ? octets : (long)sizeof(block),
			    MSG_DONTWAIT);
		if (sent < 0 && errno != EAGAIN)
			fail("send");
		if (sent > 0)
			octets -= sent;
	}
	return received;
}

static void talk(const struct plan *plan, int socket_fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	int port = local_port(socket_fd);
	long received = 0;

	for (long part = 0; part < plan->parts; part++) {
		if (plan->wait || (plan->wait_between && part > 0)) {
			report("ready", ",\"port\":%d", port);
			wait_for_word();
		}
		if (part > 0)
			usleep(plan->pause_ms * 1000);
		received += send_octets(socket_fd, plan->octets / plan->parts, plan->read_echo);
	}
	if (plan->read_echo) {
		if (shutdown(socket_fd, SHUT_WR) != 0)
			fail("shutdown");
		received += receive(socket_fd, true);
	}
	if (!plan->sctp && getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		fail("TCP_INFO");
	report("done",
	       ",\"port\":%d,\"sent_octets\":%ld,\"received_octets\":%ld,\"segments_out\":%u,"
	       "\"segments_in\":%u,\"transmitted_octets\":%llu",
	       port, plan->octets, received, info.tcpi_segs_out, info.tcpi_segs_in,
	       info.tcpi_bytes_sent);
	close(socket_fd);
}

static const char usage_text[] =
	"tcp-client --to ADDRESS --port N [--source-port N] [--octets N] [--parts N --pause MS] "
	"[--connections N [--parallel]] [--sctp] [--duplicate] [--read-echo] "
	"[--wait|--wait-between] | --fd N";

int main(int argc, char **argv)
{
	static int sockets[MOST_CONNECTIONS];
	struct plan plan = {.connections = 1, .parts = 1, .inherited_fd = -1};
	const struct argument arguments[] = {
		{"to", .text = &plan.address},
		{"port", .number = &plan.port},
		{"source-port", .number = &plan.source_port},
		{"octets", .number = &plan.octets},
		{"connections", .number = &plan.connections},
		{"parts", .number = &plan.parts},
		{"pause", .number = &plan.pause_ms},
		{"fd", .number = &plan.inherited_fd},
		{"parallel", .flag = &plan.parallel},
		{"duplicate", .flag = &plan.duplicate},
		{"read-echo", .flag = &plan.read_echo},
		{"sctp", .flag = &plan.sctp},
		{"wait", .flag = &plan.wait},
		{"wait-between", .flag = &plan.wait_between},
		{0},
	};

	parse_arguments(argc, argv, arguments, usage_text);
	if ((!plan.address && plan.inherited_fd < 0) || plan.connections > MOST_CONNECTIONS)
		usage(usage_text);
	if (plan.inherited_fd >= 0) {
		talk(&plan, plan.inherited_fd);
		return 0;
	}
	for (long i = 0; plan.parallel && i < plan.connections; i++)
		sockets[i] = connect_to(&plan);
	for (long i = 0; i < plan.connections; i++)
		talk(&plan, plan.parallel ? sockets[i] : connect_to(&plan));
	return 0;
}
