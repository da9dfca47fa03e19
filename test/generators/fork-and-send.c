// SPDX-License-Identifier: Apache-2.0
/*
 * The parent opens and connects a socket and never sends; its child sends N times S octets. With
 * --parent-port the socket is not connected: the parent sends one datagram there, waits for a line
 * of standard input, and only then comes the child, which sends to --port.
 */
#include "generator.h"
#include <sys/wait.h>

struct plan {
	const char *address;
	long port;
	long parent_port;
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
	{"parent-port", required_argument, NULL, 'P'},
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
		case 'P':
			plan.type = SOCK_DGRAM;
			plan.parent_port = number(optarg);
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 65000)
		usage("fork-and-send --to ADDRESS --port N [--tcp|--udp] [--count N] [--size N] "
		      "[--parent-port N]");
	return plan;
}

static void send_to(int socket_fd, const char *payload, long size, const union endpoint *to)
{
	if (sendto(socket_fd, payload, size, 0, to ? &to->any : NULL,
		   to ? endpoint_length(to) : 0) != size)
		fail("send");
}

int main(int argc, char **argv)
{
	static char payload[65000];
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, plan.port);
	int socket_fd = open_socket(peer.any.sa_family, plan.type, 0);
	int parent = getpid(), status;

	if (plan.parent_port) {
		union endpoint first = endpoint(plan.address, plan.parent_port);

		send_to(socket_fd, payload, plan.size, &first);
		report("sent", ",\"port\":%d", local_port(socket_fd));
		wait_for_word();
	} else if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0) {
		fail("connect");
	}
	if (fork() == 0) {
		for (long i = 0; i < plan.count; i++)
			send_to(socket_fd, payload, plan.size, plan.parent_port ? &peer : NULL);
		report("done", ",\"parent\":%d,\"port\":%d,\"packets\":%ld,\"sent_octets\":%ld",
		       parent, local_port(socket_fd), plan.count, plan.count * plan.size);
		exit(0);
	}
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
