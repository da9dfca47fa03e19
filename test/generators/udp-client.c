// SPDX-License-Identifier: Apache-2.0
/* Sends N datagrams of S octets, from a connected or an unconnected socket, and exits at once. */
#include "generator.h"

struct plan {
	union endpoint peer;
	const char *address;
	long port;
	long count;
	long size;
	long flows;
	long source_port;
	long inherited_fd;
	bool connected;
	bool read_echo;
	bool ip_options;
	bool wait;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},	 {"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'}, {"size", required_argument, NULL, 's'},
	{"flows", required_argument, NULL, 'F'}, {"source-port", required_argument, NULL, 'S'},
	{"connected", no_argument, NULL, 'c'},	 {"read-echo", no_argument, NULL, 'e'},
	{"ip-options", no_argument, NULL, 'o'},	 {"wait", no_argument, NULL, 'w'},
	{"fd", required_argument, NULL, 'f'},	 {0},
};

static void parse_option(struct plan *plan, int option)
{
	switch (option) {
	case 'a':
		plan->address = optarg;
		break;
	case 'p':
		plan->port = number(optarg);
		break;
	case 'n':
		plan->count = number(optarg);
		break;
	case 's':
		plan->size = number(optarg);
		break;
	case 'F':
		plan->flows = number(optarg);
		break;
	case 'S':
		plan->source_port = number(optarg);
		break;
	case 'c':
		plan->connected = true;
		break;
	case 'e':
		plan->read_echo = true;
		break;
	case 'o':
		plan->ip_options = true;
		break;
	case 'w':
		plan->wait = true;
		break;
	case 'f':
		plan->inherited_fd = number(optarg);
		break;
	default:
		usage("udp-client --to ADDRESS --port N [--count N] [--size N] [--flows N] "
		      "[--source-port N] [--connected] [--read-echo] [--ip-options] [--wait] "
		      "[--fd N]");
	}
}

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.count = 1, .size = 32, .flows = 1, .inherited_fd = -1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		parse_option(&plan, option);
	if (!plan.address || plan.size > 65507)
		parse_option(&plan, '?');
	plan.peer = endpoint(plan.address, plan.port);
	return plan;
}

static int open_client(const struct plan *plan)
{
	int family = plan->peer.any.sa_family;
	int socket_fd = open_socket(family, SOCK_DGRAM, 0);

	if (plan->source_port != 0)
		bind_port(socket_fd, family, plan->source_port);
	if (plan->connected &&
	    connect(socket_fd, &plan->peer.any, endpoint_length(&plan->peer)) != 0)
		fail("connect");
	return socket_fd;
}

static void send_datagrams(const struct plan *plan, int socket_fd)
{
	static char payload[65507];
	const struct sockaddr *to = plan->connected ? NULL : &plan->peer.any;
	socklen_t length = plan->connected ? 0 : endpoint_length(&plan->peer);

	for (long i = 0; i < plan->count; i++) {
		if (sendto(socket_fd, payload, plan->size, 0, to, length) != plan->size)
			fail("sendto");
		if (plan->read_echo && recv(socket_fd, payload, sizeof(payload), 0) < 0)
			fail("recv");
	}
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	int family = plan.peer.any.sa_family;

	for (long flow = 0; flow < plan.flows; flow++) {
		int socket_fd =
			plan.inherited_fd >= 0 ? (int)plan.inherited_fd : open_client(&plan);
		int header = ip_header_length(family) + 8;

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
