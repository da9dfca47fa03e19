// SPDX-License-Identifier: Apache-2.0
/*
 * Opens a socket as systemd does for a service, waits until somebody comes, and only then starts
 * the program, which finds the socket as descriptor 3 (sd_listen_fds(3)). It never accepts, sends
 * or receives itself.
 */
#include "generator.h"
#include <poll.h>
#include <sys/wait.h>

#define LISTEN_FDS_START 3

static const char usage_text[] =
	"socket-activator [--address ADDRESS] [--udp] -- PROGRAM [ARGUMENT]...";

static void start_service(char **command, int socket_fd)
{
	char pid[16];

	if (socket_fd != LISTEN_FDS_START && dup2(socket_fd, LISTEN_FDS_START) < 0)
		fail("dup2");
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	setenv("LISTEN_FDS", "1", 1);
	execv(command[0], command);
	fail(command[0]);
}

int main(int argc, char **argv)
{
	const char *address = "::";
	bool udp = false;
	const struct argument arguments[] = {
		{"address", .text = &address},
		{"udp", .flag = &udp},
		{0},
	};
	int next = parse_arguments(argc, argv, arguments, usage_text), status = 0;
	union endpoint local = endpoint(address, 0);
	int socket_fd = open_socket(local.any.sa_family, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	struct pollfd ready = {socket_fd, POLLIN, 0};

	if (next >= argc)
		usage(usage_text);
	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (!udp && listen(socket_fd, 64) != 0)
		fail("listen");
	report("ready", ",\"port\":%d", local_port(socket_fd));
	if (poll(&ready, 1, -1) < 0)
		fail("poll");
	if (fork_child() == 0)
		start_service(argv + next, socket_fd);
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
