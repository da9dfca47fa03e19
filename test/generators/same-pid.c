// SPDX-License-Identifier: Apache-2.0
/*
 * Runs one program to its end and, a tenth of a second later, another one under the same process
 * id, which needs CAP_SYS_ADMIN: same-pid PROGRAM [ARGUMENT]... -- PROGRAM [ARGUMENT]...
 */
#include "generator.h"
#include <signal.h>
#include <linux/sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define ATTEMPTS 100
#define PAUSE_US 100000 /* start times are reported in ticks of 10 ms */

/* @pid: the one that the child shall have; 0 leaves the choice to the kernel. */
static pid_t start(char **arguments, pid_t pid)
{
	struct clone_args request = {.exit_signal = SIGCHLD};
	pid_t child;

	if (pid) {
		request.set_tid = (uintptr_t)&pid;
		request.set_tid_size = 1;
	}
	child = syscall(SYS_clone3, &request, sizeof(request));
	if (child == 0) {
		execv(arguments[0], arguments);
		_exit(127);
	}
	return child;
}

static int await(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) < 0)
		fail("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	char **second = argv + 1;
	pid_t pid, child = -1;

	while (*second && strcmp(*second, "--") != 0)
		second++;
	if (argc < 4 || *second == NULL || second[1] == NULL)
		usage("same-pid PROGRAM [ARGUMENT]... -- PROGRAM [ARGUMENT]...");
	*second++ = NULL;
	pid = start(argv + 1, 0);
	if (pid < 0)
		fail("clone3");
	if (await(pid) != 0)
		return 1;
	usleep(PAUSE_US);
	/* Its id may not be free at once: the kernel still takes it down. */
	for (int i = 0; i < ATTEMPTS && child < 0; i++) {
		child = start(second, pid);
		if (child < 0 && errno != EEXIST)
			fail("clone3 with set_tid");
		if (child < 0)
			usleep(1000);
	}
	if (child < 0)
		fail("clone3 with set_tid");
	return await(child);
}
