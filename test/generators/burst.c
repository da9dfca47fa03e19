// SPDX-License-Identifier: Apache-2.0
/*
 * Starts a program N times at once: all processes are there before the first of them becomes the
 * program. With --first-port each gets "--source-port P", so that no two have the same one after
 * the other.
 */
#include "generator.h"
#include <sys/wait.h>

static const char usage_text[] = "burst --count N [--first-port P] -- PROGRAM [ARGUMENT]...";

static void become(char **command, long port)
{
	char *arguments[64] = {0}, text[16];
	int count = 0;

	while (command[count] && count < 60) {
		arguments[count] = command[count];
		count++;
	}
	snprintf(text, sizeof(text), "%ld", port);
	arguments[count] = port ? "--source-port" : NULL;
	arguments[count + 1] = port ? text : NULL;
	execv(arguments[0], arguments);
	fail(arguments[0]);
}

int main(int argc, char **argv)
{
	long count = 0, first_port = 0;
	const struct argument arguments[] = {
		{"count", .number = &count},
		{"first-port", .number = &first_port},
		{0},
	};
	int next = parse_arguments(argc, argv, arguments, usage_text), gate[2], status, failed = 0;

	if (next >= argc || count < 1)
		usage(usage_text);
	if (pipe(gate) != 0)
		fail("pipe");
	for (long i = 0; i < count; i++) {
		char byte;

		if (fork_child() != 0)
			continue;
		close(gate[1]);
		if (read(gate[0], &byte, 1) != 0) /* until the parent closes the other end */
			fail("read");
		become(argv + next, first_port ? first_port + i : 0);
	}
	close(gate[1]);
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
