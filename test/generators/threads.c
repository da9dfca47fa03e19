// SPDX-License-Identifier: Apache-2.0
/*
 * Threads with names of their own, each of which sends over UDP or TCP from a socket of its own.
 * With --leader-exits the main thread, whose name is the process's, is gone before they begin;
 * with --exec-in-thread a thread other than the main one becomes another program.
 */
#include "generator.h"
#include <fcntl.h>
#include <pthread.h>
#include <sys/prctl.h>

struct plan {
	union endpoint peer;
	const char *address;
	long port;
	long threads;
	bool udp;
	bool leader_exits;
	char **program;
};

static struct plan plan = {.threads = 1};

/* The main thread stays as a zombie until the last one ends; /proc tells when. */
static void await_exit_of_leader(void)
{
	char path[64], status[512] = "";

	snprintf(path, sizeof(path), "/proc/self/task/%d/stat", getpid());
	do {
		int fd = open(path, O_RDONLY);

		if (fd < 0 || read(fd, status, sizeof(status) - 1) < 0)
			fail(path);
		close(fd);
	} while (strstr(status, ") Z ") == NULL);
}

static void *run_thread(void *argument)
{
	char name[16];
	int socket_fd;

	snprintf(name, sizeof(name), "worker-%ld", (long)argument);
	prctl(PR_SET_NAME, name);
	if (plan.leader_exits)
		await_exit_of_leader();
	if (plan.program) {
		execv(plan.program[0], plan.program);
		fail("execv");
	}
	socket_fd = open_socket(plan.peer.any.sa_family, plan.udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (connect(socket_fd, &plan.peer.any, endpoint_length(&plan.peer)) != 0)
		fail("connect");
	if (send(socket_fd, "", 1, 0) != 1)
		fail("send");
	report("done", ",\"port\":%d", local_port(socket_fd));
	close(socket_fd);
	return NULL;
}

static void parse(int argc, char **argv)
{
	bool exec_in_thread = false;
	const struct argument known[] = {
		{"to", .text = &plan.address},
		{"port", .number = &plan.port},
		{"threads", .number = &plan.threads},
		{"udp", .flag = &plan.udp},
		{"leader-exits", .flag = &plan.leader_exits},
		{"exec-in-thread", .flag = &exec_in_thread},
		{0},
	};
	const char *text = "threads --to ADDRESS --port N [--threads N] [--udp] [--leader-exits] | "
			   "--exec-in-thread -- PROGRAM [ARGUMENT]...";
	int rest = parse_arguments(argc, argv, known, text);

	if (exec_in_thread && rest < argc)
		plan.program = argv + rest;
	else if (plan.address)
		plan.peer = endpoint(plan.address, plan.port);
	else
		usage(text);
}

int main(int argc, char **argv)
{
	pthread_t threads[64];

	parse(argc, argv);
	for (long i = 0; i < plan.threads && i < 64; i++)
		if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0)
			fail("pthread_create");
	if (plan.leader_exits)
		pthread_exit(NULL);
	for (long i = 0; i < plan.threads && i < 64; i++)
		pthread_join(threads[i], NULL);
	return 0;
}
