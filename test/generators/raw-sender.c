// SPDX-License-Identifier: Apache-2.0
/* Sends N packets of an IP protocol of which the kernel knows nothing, from a raw socket. */
#include "generator.h"

struct plan {
	const char *address;
	long protocol;
	long count;
	long size;
	bool connected;
	bool ip_options;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},
	{"protocol", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},
	{"size", required_argument, NULL, 's'},
	{"connected", no_argument, NULL, 'c'},
	{"ip-options", no_argument, NULL, 'o'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.protocol = 253, .count = 1, .size = 32};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.protocol = number(optarg);
			break;
		case 'n':
			plan.count = number(optarg);
			break;
		case 's':
			plan.size = number(optarg);
			break;
		case 'c':
			plan.connected = true;
			break;
		case 'o':
			plan.ip_options = true;
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 65000)
		usage("raw-sender --to ADDRESS [--protocol N] [--count N] [--size N] "
		      "[--connected] [--ip-options]");
	return plan;
}

int main(int argc, char **argv)
{
	static char payload[65000];
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, 0);
	int family = peer.any.sa_family, header = ip_header_length(family);
	int socket_fd = open_socket(family, SOCK_RAW, plan.protocol);

	if (plan.ip_options)
		header += add_ip_options(socket_fd, family);
	if (plan.connected && connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	for (long i = 0; i < plan.count; i++) {
		if (sendto(socket_fd, payload, plan.size, 0, plan.connected ? NULL : &peer.any,
			   plan.connected ? 0 : endpoint_length(&peer)) != plan.size)
			fail("sendto");
	}
	report("done", ",\"protocol\":%ld,\"packets\":%ld,\"octets\":%ld", plan.protocol,
	       plan.count, plan.count * (header + plan.size));
	return 0;
}
