// SPDX-License-Identifier: Apache-2.0
/*
 * Runs a program as the first process of a new pid namespace, as in a container: there it is 1.
 * What it reports of itself stands in /proc, which is still that of the namespace outside.
 */
#include "generator.h"
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

int main(int argc, char **argv)
{
	pid_t child;
	int status;

	if (argc < 2)
		usage("new-pid-namespace PROGRAM [ARGUMENT]...");
	child = syscall(SYS_clone, CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | SIGCHLD, 0, 0, 0,
			0);
	if (child < 0)
		fail("clone(CLONE_NEWPID)");
	if (child == 0) {
		execv(argv[1], argv + 1);
		_exit(127);
	}
	if (waitpid(child, &status, 0) < 0)
		fail("waitpid");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
