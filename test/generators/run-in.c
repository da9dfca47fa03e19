// SPDX-License-Identifier: Apache-2.0
/*
 * Enters a network namespace and a cgroup, then becomes the program, so that the program's very
 * first act happens there. Unlike `ip netns exec` it leaves the mounts alone: /sys stays visible.
 */
#include "generator.h"
#include <fcntl.h>
#include <sched.h>

static const struct option options[] = {
	{"netns", required_argument, NULL, 'n'},
	{"cgroup", required_argument, NULL, 'c'},
	{0},
};

static void enter_netns(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail(path);
	if (setns(fd, CLONE_NEWNET) != 0)
		fail("setns");
	close(fd);
}

static void enter_cgroup(const char *directory)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		fail(path);
	if (write(fd, "0", 1) != 1)
		fail("write to cgroup.procs");
	close(fd);
}

int main(int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		if (option == 'n')
			enter_netns(optarg);
		else if (option == 'c')
			enter_cgroup(optarg);
		else
			optind = argc;
	}
	if (optind >= argc)
		usage("run-in [--netns PATH] [--cgroup DIRECTORY] -- PROGRAM [ARGUMENT]...");
	execvp(argv[optind], argv + optind);
	fail(argv[optind]);
	return 1;
}
