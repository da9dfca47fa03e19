// SPDX-License-Identifier: Apache-2.0
/*
 * Sends N datagrams of S octets in turn through a number of connected sockets, at a rate or, with
 * rate 0, as fast as it can.
 */
#include "../../test/generators/generator.h"
#include <time.h>

#define MAX_SOCKETS 1024
#define TICK_NS	    1000000L /* a rate is kept by bursts, one a millisecond */

struct plan {
	const char *address;
	long port;
	long count;
	long size;
	long sockets;
	long rate; /* a second */
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},
	{"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},
	{"size", required_argument, NULL, 's'},
	{"rate", required_argument, NULL, 'r'},
	{"sockets", required_argument, NULL, 'S'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.count = 1, .size = 22, .sockets = 1};
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
		case 's':
			plan.size = number(optarg);
			break;
		case 'r':
			plan.rate = number(optarg);
			break;
		case 'S':
			plan.sockets = number(optarg);
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 1472 || plan.sockets < 1 || plan.sockets > MAX_SOCKETS)
		usage("udp-sender --to ADDRESS --port N [--count N] [--size N] [--sockets N] "
		      "[--rate N]");
	return plan;
}

static void add_ns(struct timespec *time, long ns)
{
	time->tv_nsec += ns;
	time->tv_sec += time->tv_nsec / 1000000000L;
	time->tv_nsec %= 1000000000L;
}

int main(int argc, char **argv)
{
	static char payload[1472];
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, plan.port);
	long burst = plan.rate * TICK_NS / 1000000000L;
	int sockets[MAX_SOCKETS];
	struct timespec tick;

	for (long i = 0; i < plan.sockets; i++) {
		sockets[i] = open_socket(peer.any.sa_family, SOCK_DGRAM, 0);
		if (connect(sockets[i], &peer.any, endpoint_length(&peer)) != 0)
			fail("connect");
	}
	report("sending", "");
	clock_gettime(CLOCK_MONOTONIC, &tick);
	for (long i = 0; i < plan.count; i++) {
		if (burst && i % burst == 0) {
			clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &tick, NULL);
			add_ns(&tick, TICK_NS);
		}
		if (send(sockets[i % plan.sockets], payload, plan.size, 0) != plan.size)
			fail("send");
	}
	report("done", ",\"packets\":%ld", plan.count);
	return 0;
}
