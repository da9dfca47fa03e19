// SPDX-License-Identifier: Apache-2.0
/*
 * Times send and receive calls on sockets that it opens once and keeps: both ends belong to this
 * process, so that no call ever changes an owner. For each line of standard input it measures every
 * kind of socket once and reports nanoseconds a call. Calls come in batches; the median of all
 * batches forgets those that an interrupt or another process made long.
 */
#include "../../test/generators/generator.h"
#include <netinet/tcp.h>
#include <sched.h>
#include <time.h>

#define BATCH_CALLS 32
#define MAX_BATCHES 100000
#define WARM_UP	    64 /* batches that are not counted */

struct pair {
	const char *kind;
	int family;
	int type;
	bool connected;
	int sender;
	int receiver;
	union endpoint to;
};

static struct pair pairs[] = {
	{.kind = "UDP, connected", .family = AF_INET, .type = SOCK_DGRAM, .connected = true},
	{.kind = "UDP, with address", .family = AF_INET, .type = SOCK_DGRAM},
	{.kind = "UDP over IPv6, with address", .family = AF_INET6, .type = SOCK_DGRAM},
	{.kind = "TCP", .family = AF_INET, .type = SOCK_STREAM, .connected = true},
	{.kind = "Unix", .family = AF_UNIX, .type = SOCK_DGRAM, .connected = true},
};
#define PAIRS (sizeof(pairs) / sizeof(pairs[0]))

static double now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void open_datagram_pair(struct pair *pair)
{
	const char *loopback = pair->family == AF_INET ? "127.0.0.1" : "::1";

	pair->receiver = open_socket(pair->family, SOCK_DGRAM, 0);
	bind_port(pair->receiver, pair->family, 0);
	pair->to = endpoint(loopback, local_port(pair->receiver));
	pair->sender = open_socket(pair->family, SOCK_DGRAM, 0);
	if (pair->connected &&
	    connect(pair->sender, &pair->to.any, endpoint_length(&pair->to)) != 0)
		fail("connect");
}

static void open_stream_pair(struct pair *pair)
{
	int listener = open_socket(pair->family, SOCK_STREAM, 0), on = 1;

	bind_port(listener, pair->family, 0);
	if (listen(listener, 1) != 0)
		fail("listen");
	pair->to = endpoint("127.0.0.1", local_port(listener));
	pair->sender = open_socket(pair->family, SOCK_STREAM, 0);
	if (setsockopt(pair->sender, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0)
		fail("TCP_NODELAY");
	if (connect(pair->sender, &pair->to.any, endpoint_length(&pair->to)) != 0)
		fail("connect");
	pair->receiver = accept(listener, NULL, NULL);
	if (pair->receiver < 0)
		fail("accept");
	close(listener);
}

static void open_unix_pair(struct pair *pair)
{
	int ends[2], octets = 1 << 20;

	if (socketpair(AF_UNIX, pair->type, 0, ends) != 0)
		fail("socketpair");
	pair->sender = ends[0];
	pair->receiver = ends[1];
	setsockopt(pair->sender, SOL_SOCKET, SO_SNDBUF, &octets, sizeof(octets));
}

/*
 * To and from an address where the socket has no peer. One octet each: the call is measured, not
 * the copying.
 */
static void send_batch(const struct pair *pair, int calls)
{
	const struct sockaddr *to = pair->connected ? NULL : &pair->to.any;
	socklen_t length = pair->connected ? 0 : endpoint_length(&pair->to);

	for (int i = 0; i < calls; i++)
		if (sendto(pair->sender, "", 1, 0, to, length) != 1)
			fail("send");
}

static void receive_batch(const struct pair *pair, int calls)
{
	char octet;

	for (int i = 0; i < calls; i++) {
		union endpoint from;
		socklen_t length = sizeof(from);
		struct sockaddr *sender = pair->connected ? NULL : &from.any;

		if (recvfrom(pair->receiver, &octet, 1, 0, sender, sender ? &length : NULL) != 1)
			fail("recv");
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, long count)
{
	qsort(values, count, sizeof(*values), by_value);
	return values[count / 2];
}

static void measure(const struct pair *pair, long batches)
{
	static double send_ns[MAX_BATCHES], receive_ns[MAX_BATCHES];
	/* A Unix socket's queue holds few datagrams (net.unix.max_dgram_qlen). */
	int calls = pair->family == AF_UNIX ? 8 : BATCH_CALLS;

	for (long i = -WARM_UP; i < batches; i++) {
		double start = now_ns(), sent, received;

		send_batch(pair, calls);
		sent = now_ns();
		receive_batch(pair, calls);
		received = now_ns();
		if (i < 0)
			continue;
		send_ns[i] = (sent - start) / calls;
		receive_ns[i] = (received - sent) / calls;
	}
	report("timed", ",\"kind\":\"%s\",\"send_ns\":%.1f,\"receive_ns\":%.1f", pair->kind,
	       median(send_ns, batches), median(receive_ns, batches));
}

static void stay_on(long cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
		fail("sched_setaffinity");
}

int main(int argc, char **argv)
{
	char line[16];
	long batches;

	if (argc != 3)
		usage("time-calls CPU BATCHES");
	stay_on(number(argv[1]));
	batches = number(argv[2]);
	if (batches < 1 || batches > MAX_BATCHES)
		usage("time-calls CPU BATCHES");
	for (size_t i = 0; i < PAIRS; i++) {
		if (pairs[i].family == AF_UNIX)
			open_unix_pair(&pairs[i]);
		else if (pairs[i].type == SOCK_STREAM)
			open_stream_pair(&pairs[i]);
		else
			open_datagram_pair(&pairs[i]);
	}
	report("ready", ",\"kinds\":%zu", PAIRS);
	while (fgets(line, sizeof(line), stdin)) {
		for (size_t i = 0; i < PAIRS; i++)
			measure(&pairs[i], batches);
		report("round", "");
	}
	return 0;
}
