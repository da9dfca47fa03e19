// SPDX-License-Identifier: Apache-2.0
/*
 * Receives N datagrams, answers each if asked to, and exits. With --workers children receive from
 * the one socket, or each from a socket of its own on the same port (--reuseport), and tell of
 * each datagram which of them it was.
 */
#include "generator.h"
#include <net/if.h>
#include <sys/wait.h>

#define MOST_WORKERS 64

struct plan {
	const char *address;
	const char *group;
	const char *interface;
	long port;
	long listening_fd;
	long count;
	long workers;
	bool echo;
	bool reuseport;
};

static void join(int socket_fd, const struct plan *plan)
{
	union endpoint group = endpoint(plan->group, 0);
	int ifindex = if_nametoindex(plan->interface), result;

	if (group.any.sa_family == AF_INET) {
		struct ip_mreqn request = {.imr_multiaddr = group.v4.sin_addr,
					   .imr_ifindex = ifindex};

		result = setsockopt(socket_fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request,
				    sizeof(request));
	} else {
		struct ipv6_mreq request = {.ipv6mr_multiaddr = group.v6.sin6_addr,
					    .ipv6mr_interface = ifindex};

		result = setsockopt(socket_fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request,
				    sizeof(request));
	}
	if (result != 0)
		fail("joining the group");
}

static int open_server(const struct plan *plan, long port)
{
	union endpoint local = endpoint(plan->address, port);
	int socket_fd = open_socket(local.any.sa_family, SOCK_DGRAM, 0);
	int queue_octets = 1 << 24, on = 1;

	setsockopt(socket_fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue_octets, sizeof(queue_octets));
	if (plan->reuseport &&
	    setsockopt(socket_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		fail("SO_REUSEPORT");
	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (plan->group)
		join(socket_fd, plan);
	return socket_fd;
}

struct datagram {
	ssize_t octets;
	int peer_port;
};

static struct datagram serve(const struct plan *plan, int socket_fd)
{
	static char payload[65536];
	union endpoint peer = {0};
	socklen_t length = sizeof(peer);
	ssize_t got = recvfrom(socket_fd, payload, sizeof(payload), 0, &peer.any, &length);

	if (got < 0)
		fail("recvfrom");
	if (plan->echo && sendto(socket_fd, payload, got, 0, &peer.any, length) != got)
		fail("sendto");
	return (struct datagram){got, endpoint_port(&peer)};
}

static void announce(int fd)
{
	if (write(fd, "", 1) != 1)
		fail("write");
}

static void await_announcements(int fd, long count)
{
	char byte;

	for (long i = 0; i < count; i++) {
		if (read(fd, &byte, 1) != 1)
			fail("read");
	}
}

/* A worker serves until it is ended; by one octet it says that it is ready, or has served. */
static void serve_by_workers(const struct plan *plan, int socket_fd)
{
	int workers[MOST_WORKERS], served[2], port = local_port(socket_fd);

	if (pipe(served) != 0)
		fail("pipe");
	for (long i = 0; i < plan->workers; i++) {
		workers[i] = fork_child();
		if (workers[i] != 0)
			continue;
		if (plan->reuseport) {
			int own_fd = open_server(plan, port);

			close(socket_fd);
			socket_fd = own_fd;
		}
		announce(served[1]);
		for (;;) {
			struct datagram datagram = serve(plan, socket_fd);

			report("served", ",\"peer_port\":%d", datagram.peer_port);
			announce(served[1]);
		}
	}
	await_announcements(served[0], plan->workers);
	if (plan->reuseport)
		close(socket_fd); /* only the workers' get datagrams */
	report("ready", ",\"port\":%d", port);
	await_announcements(served[0], plan->count);
	for (long i = 0; i < plan->workers; i++) {
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
}

static const char usage_text[] =
	"udp-server [--address ADDRESS] [--port N] [--listening-fd N] [--join GROUP --interface "
	"NAME] [--count N] [--echo] [--workers N [--reuseport]]";

int main(int argc, char **argv)
{
	struct plan plan = {.address = "::", .count = 1, .listening_fd = -1};
	const struct argument arguments[] = {
		{"address", .text = &plan.address},
		{"port", .number = &plan.port},
		{"listening-fd", .number = &plan.listening_fd},
		{"join", .text = &plan.group},
		{"interface", .text = &plan.interface},
		{"count", .number = &plan.count},
		{"workers", .number = &plan.workers},
		{"echo", .flag = &plan.echo},
		{"reuseport", .flag = &plan.reuseport},
		{0},
	};
	int socket_fd;
	long octets = 0;

	parse_arguments(argc, argv, arguments, usage_text);
	if (plan.workers > MOST_WORKERS || (plan.group && !plan.interface))
		usage(usage_text);
	socket_fd = plan.listening_fd;
	if (socket_fd < 0)
		socket_fd = open_server(&plan, plan.port);
	if (plan.workers > 0) {
		serve_by_workers(&plan, socket_fd);
		report("done", "");
		return 0;
	}
	report("ready", ",\"port\":%d", local_port(socket_fd));
	for (long i = 0; i < plan.count; i++)
		octets += serve(&plan, socket_fd).octets;
	report("done", ",\"port\":%d,\"packets\":%ld,\"payload_octets\":%ld", local_port(socket_fd),
	       plan.count, octets);
	return 0;
}
