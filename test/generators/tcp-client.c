// SPDX-License-Identifier: Apache-2.0
/* Connects, sends N octets, reads what comes back if asked to, and exits at once. */
#include "generator.h"
#include <linux/tcp.h>
#include <poll.h>

struct plan {
	const char *address;
	long port;
	long octets;
	long connections;
	long inherited_fd;
	bool read_echo;
	bool wait;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},	  {"port", required_argument, NULL, 'p'},
	{"octets", required_argument, NULL, 'o'}, {"connections", required_argument, NULL, 'n'},
	{"read-echo", no_argument, NULL, 'e'},	  {"wait", no_argument, NULL, 'w'},
	{"fd", required_argument, NULL, 'f'},	  {0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.connections = 1, .inherited_fd = -1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.port = number(optarg);
			break;
		case 'o':
			plan.octets = number(optarg);
			break;
		case 'n':
			plan.connections = number(optarg);
			break;
		case 'e':
			plan.read_echo = true;
			break;
		case 'w':
			plan.wait = true;
			break;
		case 'f':
			plan.inherited_fd = number(optarg);
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address && plan.inherited_fd < 0)
		usage("tcp-client --to ADDRESS --port N [--octets N] [--connections N] "
		      "[--read-echo] [--wait] | --fd N");
	return plan;
}

static int connect_to(const struct plan *plan)
{
	union endpoint peer = endpoint(plan->address, plan->port);
	int socket_fd = open_socket(peer.any.sa_family, SOCK_STREAM, 0);

	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	return socket_fd;
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

	if (plan->wait) {
		report("ready", ",\"port\":%d", port);
		wait_for_word();
	}
	received = send_octets(socket_fd, plan->octets, plan->read_echo);
	if (plan->read_echo) {
		if (shutdown(socket_fd, SHUT_WR) != 0)
			fail("shutdown");
		received += receive(socket_fd, true);
	}
	if (getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		fail("TCP_INFO");
	report("done",
	       ",\"port\":%d,\"sent_octets\":%ld,\"received_octets\":%ld,\"segments_out\":%u,"
	       "\"segments_in\":%u,\"transmitted_octets\":%llu",
	       port, plan->octets, received, info.tcpi_segs_out, info.tcpi_segs_in,
	       info.tcpi_bytes_sent);
	close(socket_fd);
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);

	for (long i = 0; i < plan.connections; i++)
		talk(&plan, plan.inherited_fd >= 0 ? (int)plan.inherited_fd : connect_to(&plan));
	return 0;
}
