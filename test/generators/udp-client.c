// SPDX-License-Identifier: Apache-2.0
/*
 * Sends N datagrams of S octets, from a connected or an unconnected socket, and exits at once. An
 * unconnected one may send to several ports in turn.
 */
#include "generator.h"

struct plan {
	union endpoint peer;
	const char *address;
	const char *from;
	long port;
	long count;
	long size;
	long flows;
	long ports;
	long source_port;
	long pause_ms;
	long ttl;
	long inherited_fd;
	bool connected;
	bool read_echo;
	bool ip_options;
	bool broadcast;
	bool ignore_errors;
	bool wait;
};

/* With --source-port each further flow has the next port. */
static int open_client(const struct plan *plan, long flow)
{
	int family = plan->peer.any.sa_family, on = 1, ttl = plan->ttl;
	int socket_fd = open_socket(family, SOCK_DGRAM, 0);

	if (plan->from) {
		union endpoint local = endpoint(plan->from, plan->source_port);

		if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
			fail("bind");
	} else if (plan->source_port != 0) {
		bind_port(socket_fd, family, plan->source_port + flow);
	}
	if (plan->broadcast &&
	    setsockopt(socket_fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof(on)) != 0)
		fail("SO_BROADCAST");
	if (ttl != 0 &&
	    setsockopt(socket_fd, family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6,
		       family == AF_INET ? IP_TTL : IPV6_UNICAST_HOPS, &ttl, sizeof(ttl)) != 0)
		fail("IP_TTL");
	if (plan->connected &&
	    connect(socket_fd, &plan->peer.any, endpoint_length(&plan->peer)) != 0)
		fail("connect");
	return socket_fd;
}

static void send_datagrams(const struct plan *plan, int socket_fd)
{
	static char payload[65507];
	union endpoint peer = plan->peer;
	const struct sockaddr *to = plan->connected ? NULL : &peer.any;
	socklen_t length = plan->connected ? 0 : endpoint_length(&peer);

	for (long i = 0; i < plan->count; i++) {
		if (i > 0 && plan->pause_ms > 0)
			usleep(plan->pause_ms * 1000);
		peer.v4.sin_port = htons(plan->port + i % plan->ports); /* IPv6 has it there too */
		while (sendto(socket_fd, payload, plan->size, 0, to, length) != plan->size) {
			/* what an ICMP error left behind: reported once, nothing was sent */
			if (!plan->ignore_errors)
				fail("sendto");
		}
		if (plan->read_echo && recv(socket_fd, payload, sizeof(payload), 0) < 0)
			fail("recv");
	}
}

static const char usage_text[] =
	"udp-client --to ADDRESS --port N [--from ADDRESS] [--source-port N] [--count N] "
	"[--pause MS] [--size N] [--flows N] [--ports N] [--ttl N] [--connected] [--read-echo] "
	"[--ip-options] [--broadcast] [--ignore-errors] [--wait] [--fd N]";

int main(int argc, char **argv)
{
	struct plan plan = {.count = 1, .size = 32, .flows = 1, .ports = 1, .inherited_fd = -1};
	const struct argument arguments[] = {
		{"to", .text = &plan.address},
		{"port", .number = &plan.port},
		{"from", .text = &plan.from},
		{"source-port", .number = &plan.source_port},
		{"count", .number = &plan.count},
		{"pause", .number = &plan.pause_ms},
		{"size", .number = &plan.size},
		{"flows", .number = &plan.flows},
		{"ports", .number = &plan.ports},
		{"ttl", .number = &plan.ttl},
		{"fd", .number = &plan.inherited_fd},
		{"connected", .flag = &plan.connected},
		{"read-echo", .flag = &plan.read_echo},
		{"ip-options", .flag = &plan.ip_options},
		{"broadcast", .flag = &plan.broadcast},
		{"ignore-errors", .flag = &plan.ignore_errors},
		{"wait", .flag = &plan.wait},
		{0},
	};
	int family, header;

	parse_arguments(argc, argv, arguments, usage_text);
	if (!plan.address || plan.size > 65507)
		usage(usage_text);
	plan.peer = endpoint(plan.address, plan.port);
	family = plan.peer.any.sa_family;
	for (long flow = 0; flow < plan.flows; flow++) {
		int socket_fd =
			plan.inherited_fd >= 0 ? (int)plan.inherited_fd : open_client(&plan, flow);

		header = ip_header_length(family) + 8;
		if (plan.ip_options)
			header += add_ip_options(socket_fd, family);
		if (plan.wait) {
			report("ready", ",\"port\":%d", local_port(socket_fd));
			wait_for_word();
		}
		send_datagrams(&plan, socket_fd);
		/* packets and octets as on the wire, unless the datagram had to be fragmented */
		report("done", ",\"port\":%d,\"packets\":%ld,\"octets\":%ld", local_port(socket_fd),
		       plan.count, plan.count * (header + plan.size));
		close(socket_fd);
	}
	return 0;
}
