// SPDX-License-Identifier: Apache-2.0
/* The parent opens and connects a socket and never sends; its child sends N times S octets. */
#include "generator.h"
#include <sys/wait.h>

struct plan {
	const char *address;
	long port;
	long count;
	long size;
	int type;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},
	{"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},
	{"size", required_argument, NULL, 's'},
	{"tcp", no_argument, NULL, 't'},
	{"udp", no_argument, NULL, 'u'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.count = 1, .size = 32, .type = SOCK_STREAM};
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
		case 't':
			plan.type = SOCK_STREAM;
			break;
		case 'u':
			plan.type = SOCK_DGRAM;
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 65000)
		usage("fork-and-send --to ADDRESS --port N [--tcp|--udp] [--count N] [--size N]");
	return plan;
}

int main(int argc, char **argv)
{
	static char payload[65000];
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, plan.port);
	int socket_fd = open_socket(peer.any.sa_family, plan.type, 0);
	int parent = getpid(), status;

	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (fork() == 0) {
		for (long i = 0; i < plan.count; i++) {
			if (send(socket_fd, payload, plan.size, 0) != plan.size)
				fail("send");
		}
		report("done", ",\"parent\":%d,\"port\":%d,\"packets\":%ld,\"sent_octets\":%ld",
		       parent, local_port(socket_fd), plan.count, plan.count * plan.size);
		exit(0);
	}
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
