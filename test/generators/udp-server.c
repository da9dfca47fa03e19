// SPDX-License-Identifier: Apache-2.0
/* Receives N datagrams, answers each if asked to, and exits. */
#include "generator.h"

struct plan {
	const char *address;
	long port;
	long count;
	bool echo;
};

static const struct option options[] = {
	{"address", required_argument, NULL, 'a'},
	{"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},
	{"echo", no_argument, NULL, 'e'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.address = "::", .count = 1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.port = number(optarg);
			break;
		case 'n':
			plan.count = number(optarg);
			break;
		case 'e':
			plan.echo = true;
			break;
		default:
			usage("udp-server [--address ADDRESS] [--port N] [--count N] [--echo]");
		}
	}
	return plan;
}

int main(int argc, char **argv)
{
	static char payload[65536];
	struct plan plan = parse(argc, argv);
	union endpoint local = endpoint(plan.address, plan.port);
	int socket_fd = open_socket(local.any.sa_family, SOCK_DGRAM, 0);
	int queue_octets = 1 << 24;
	long octets = 0;

	setsockopt(socket_fd, SOL_SOCKET, SO_RCVBUFFORCE, &queue_octets, sizeof(queue_octets));
	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	report("ready", ",\"port\":%d", local_port(socket_fd));
	for (long i = 0; i < plan.count; i++) {
		union endpoint peer = {0};
		socklen_t length = sizeof(peer);
		ssize_t got = recvfrom(socket_fd, payload, sizeof(payload), 0, &peer.any, &length);

		if (got < 0)
			fail("recvfrom");
		octets += got;
		if (plan.echo && sendto(socket_fd, payload, got, 0, &peer.any, length) != got)
			fail("sendto");
	}
	report("done", ",\"port\":%d,\"packets\":%ld,\"payload_octets\":%ld", local_port(socket_fd),
	       plan.count, octets);
	return 0;
}
