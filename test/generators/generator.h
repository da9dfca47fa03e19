/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the traffic generators share. Each reports what it did itself, one JSON object a line on
 * standard output: its pid, its name, what it counted. These are the ground truth of the tests.
 */
#ifndef PROCFLOW_GENERATOR_H
#define PROCFLOW_GENERATOR_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

union endpoint {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static inline void fail(const char *operation)
{
	fprintf(stderr, "%s: %s\n", operation, strerror(errno));
	exit(1);
}

static inline void usage(const char *text)
{
	fprintf(stderr, "usage: %s\n", text);
	exit(2);
}

static inline long number(const char *text)
{
	char *end;
	long value = strtol(text, &end, 0);

	if (*text == '\0' || *end != '\0') {
		fprintf(stderr, "not a number: %s\n", text);
		exit(2);
	}
	return value;
}

static inline union endpoint endpoint(const char *address, long port)
{
	union endpoint result = {0};

	if (inet_pton(AF_INET, address, &result.v4.sin_addr) == 1) {
		result.v4.sin_family = AF_INET;
		result.v4.sin_port = htons(port);
	} else if (inet_pton(AF_INET6, address, &result.v6.sin6_addr) == 1) {
		result.v6.sin6_family = AF_INET6;
		result.v6.sin6_port = htons(port);
	} else {
		fprintf(stderr, "not an address: %s\n", address);
		exit(2);
	}
	return result;
}

static inline socklen_t endpoint_length(const union endpoint *endpoint)
{
	return endpoint->any.sa_family == AF_INET ? sizeof(endpoint->v4) : sizeof(endpoint->v6);
}

static inline int endpoint_port(const union endpoint *endpoint)
{
	return ntohs(endpoint->any.sa_family == AF_INET ? endpoint->v4.sin_port
							: endpoint->v6.sin6_port);
}

static inline int local_port(int socket_fd)
{
	union endpoint local = {0};
	socklen_t length = sizeof(local);

	if (getsockname(socket_fd, &local.any, &length) != 0)
		fail("getsockname");
	return endpoint_port(&local);
}

static inline int ip_header_length(int family)
{
	return family == AF_INET ? 20 : 40;
}

static inline int open_socket(int family, int type, int protocol)
{
	int socket_fd = socket(family, type, protocol), on = 1;

	if (socket_fd < 0)
		fail("socket");
	/* Not for UDP: there it would let the kernel choose a port that another socket has. */
	if (type == SOCK_STREAM &&
	    setsockopt(socket_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
		fail("SO_REUSEADDR");
	return socket_fd;
}

/* Binds to a port of every address of the family; 0 leaves the choice to the kernel. */
static inline void bind_port(int socket_fd, int family, long port)
{
	union endpoint local = endpoint(family == AF_INET ? "0.0.0.0" : "::", port);

	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
}

/* IPv4: eight octets of options; IPv6: hop-by-hop and destination options, eight octets each. */
static inline int add_ip_options(int socket_fd, int family)
{
	static const uint8_t no_operations[8] = {1, 1, 1, 1, 1, 1, 1, 0};
	static const uint8_t padded[8] = {0, 0, 1 /* PadN */, 4, 0, 0, 0, 0};

	if (family == AF_INET) {
		if (setsockopt(socket_fd, IPPROTO_IP, IP_OPTIONS, no_operations, 8) != 0)
			fail("IP_OPTIONS");
		return 8;
	}
	if (setsockopt(socket_fd, IPPROTO_IPV6, IPV6_HOPOPTS, padded, 8) != 0 ||
	    setsockopt(socket_fd, IPPROTO_IPV6, IPV6_DSTOPTS, padded, 8) != 0)
		fail("IPV6_HOPOPTS, IPV6_DSTOPTS");
	return 16;
}

/* What a generator can be told: `--name TEXT`, `--name NUMBER`, or the name alone for a flag. */
struct argument {
	const char *name;
	const char **text;
	long *number;
	bool *flag;
};

/*
 * Fills in what `known` points to; its last element is empty. Returns the index of the first
 * argument that is no option: what stands behind "--" is left to the caller.
 */
static inline int parse_arguments(int argc, char **argv, const struct argument *known,
				  const char *usage_text)
{
	int i = 1;

	for (; i < argc && strncmp(argv[i], "--", 2) == 0; i++) {
		const struct argument *argument = known;

		if (argv[i][2] == '\0')
			return i + 1;
		while (argument->name && strcmp(argument->name, argv[i] + 2) != 0)
			argument++;
		if (!argument->name || (!argument->flag && ++i == argc))
			usage(usage_text);
		if (argument->flag)
			*argument->flag = true;
		else if (argument->number)
			*argument->number = number(argv[i]);
		else
			*argument->text = argv[i];
	}
	return i;
}

/* What makes a process unmistakable, also when its pid is given to another one. */
struct identity {
	int pid; /* in the pid namespace that /proc belongs to, whatever the process's own is */
	char comm[32];	    /* of the group leader, whichever thread asks */
	long long start_ms; /* since 1970, cut to a clock tick */
};

static inline long long clock_ms(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* Both clocks at the same time: read again where another process had the CPU in between. */
static inline long long boot_epoch_ms(void)
{
	long long before, now;

	do {
		before = clock_ms(CLOCK_BOOTTIME);
		now = clock_ms(CLOCK_REALTIME);
	} while (clock_ms(CLOCK_BOOTTIME) - before > 1);
	return now - before;
}

static inline struct identity identity(void)
{
	struct identity self = {0};
	unsigned long long start_ticks = 0;
	char stat[1024] = "", *open, *close;
	FILE *file = fopen("/proc/self/stat", "r");

	/* "pid (comm) state ..."; the start is the 22nd: see proc_pid_stat(5) */
	if (!file || !fgets(stat, sizeof(stat), file))
		fail("/proc/self/stat");
	fclose(file);
	open = strchr(stat, '(');
	close = strrchr(stat, ')');
	if (!open || !close)
		fail("/proc/self/stat");
	self.pid = atoi(stat);
	snprintf(self.comm, sizeof(self.comm), "%.*s", (int)(close - open - 1), open + 1);
	sscanf(close + 1,
	       " %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
	       &start_ticks);
	self.start_ms = boot_epoch_ms() + start_ticks * 1000 / sysconf(_SC_CLK_TCK);
	return self;
}

/* One line: who reports, then the members that `format` gives, each beginning with a comma. */
static inline void report(const char *event, const char *format, ...)
{
	struct identity self = identity();
	char members[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(members, sizeof(members), format, arguments);
	va_end(arguments);
	printf("{\"event\":\"%s\",\"pid\":%d,\"comm\":\"%s\",\"start_ms\":%lld,\"uid\":%u%s}\n",
	       event, self.pid, self.comm, self.start_ms, geteuid(), members);
	fflush(stdout);
}

/* A child that does not outlive the process that started it: a test may end that one. */
static inline pid_t fork_child(void)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		fail("PR_SET_PDEATHSIG");
	return child;
}

/* Waits for a line, or the end, of standard input: the test says when to go on. */
static inline void wait_for_word(void)
{
	char byte;

	while (read(STDIN_FILENO, &byte, 1) == 1 && byte != '\n')
		;
}

#endif
