// SPDX-License-Identifier: Apache-2.0
/*
 * Opens and connects a socket, sends one octet where asked to, then becomes another program that
 * inherits the descriptor: `--fd N` is appended to its arguments. With --vfork a child becomes the
 * other program, and this one waits for it.
 */
#include "generator.h"
#include <sys/wait.h>

struct plan {
	const char *address;
	long port;
	int type;
	bool use_first;
	bool vfork;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},
	{"port", required_argument, NULL, 'p'},
	{"tcp", no_argument, NULL, 't'},
	{"udp", no_argument, NULL, 'u'},
	{"use-first", no_argument, NULL, 's'},
	{"vfork", no_argument, NULL, 'v'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.type = SOCK_STREAM};
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.port = number(optarg);
			break;
		case 't':
			plan.type = SOCK_STREAM;
			break;
		case 'u':
			plan.type = SOCK_DGRAM;
			break;
		case 's':
			plan.use_first = true;
			break;
		case 'v':
			plan.vfork = true;
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || optind >= argc || argc - optind > 60)
		usage("exec-after-open --to ADDRESS --port N [--tcp|--udp] [--use-first] "
		      "[--vfork] -- PROGRAM [ARGUMENT]...");
	return plan;
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, plan.port);
	int socket_fd = open_socket(peer.any.sa_family, plan.type, 0), next = 0, status;
	pid_t child;
	char *arguments[64] = {0}, text[16];

	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (plan.use_first && send(socket_fd, "", 1, 0) != 1)
		fail("send");
	report("opened", ",\"port\":%d", local_port(socket_fd));
	for (int i = optind; i < argc; i++)
		arguments[next++] = argv[i];
	snprintf(text, sizeof(text), "%d", socket_fd);
	arguments[next++] = "--fd";
	arguments[next++] = text;
	child = plan.vfork ? vfork() : 0;
	if (child == 0) {
		execv(arguments[0], arguments);
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) < 0)
		fail("vfork");
	return WEXITSTATUS(status);
}
