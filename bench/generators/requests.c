// SPDX-License-Identifier: Apache-2.0
/*
 * Many small TCP connections: each sends a request, reads the answer to its end and is closed by
 * the server. As a client, a number of threads do so one connection after the other for a time, and
 * the connections and the time that the one in the middle took are reported. As a server (--serve),
 * a number of threads answer until the process is ended.
 */
#include "../../test/generators/generator.h"
#include <pthread.h>

#define MOST_THREADS 16
#define MOST_TIMES   (1 << 20) /* a thread */
#define REQUEST	     64
#define ANSWER	     512
#define MILLISECOND  1000000LL

struct plan {
	const char *address;
	long port;
	long threads;
	long duration_ms;
	bool serve;
};

struct client {
	const struct plan *plan;
	pthread_t thread;
	long connections;
	uint32_t *times_ns;
};

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void read_exactly(int socket_fd, char *buffer, size_t octets)
{
	for (size_t done = 0; done < octets;) {
		ssize_t part = read(socket_fd, buffer + done, octets - done);

		if (part <= 0)
			return;
		done += part;
	}
}

static int listen_on(const struct plan *plan)
{
	union endpoint local = endpoint(plan->address, plan->port);
	int listener = open_socket(local.any.sa_family, SOCK_STREAM, 0);

	if (bind(listener, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (listen(listener, 1024) != 0)
		fail("listen");
	return listener;
}

static void *serve(void *argument)
{
	const int *listener = argument;
	char request[REQUEST], answer[ANSWER] = {0};

	for (;;) {
		int connection = accept(*listener, NULL, NULL);

		if (connection < 0)
			fail("accept");
		read_exactly(connection, request, sizeof(request));
		/* The client may have gone. */
		if (write(connection, answer, sizeof(answer)) != sizeof(answer) && errno != EPIPE &&
		    errno != ECONNRESET)
			fail("write");
		close(connection);
	}
	return NULL;
}

static void request(const union endpoint *peer)
{
	int socket_fd = open_socket(peer->any.sa_family, SOCK_STREAM, 0);
	char request[REQUEST] = {0}, answer[ANSWER];

	if (connect(socket_fd, &peer->any, endpoint_length(peer)) != 0)
		fail("connect");
	if (write(socket_fd, request, sizeof(request)) != sizeof(request))
		fail("write");
	/* To its end: the server closes first, and no port of the client's has to wait. */
	while (read(socket_fd, answer, sizeof(answer)) > 0)
		;
	close(socket_fd);
}

static void *ask(void *argument)
{
	struct client *client = argument;
	union endpoint peer = endpoint(client->plan->address, client->plan->port);
	long long begun = now_ns(), end = begun + client->plan->duration_ms * MILLISECOND;

	while (begun < end && client->connections < MOST_TIMES) {
		long long done;

		request(&peer);
		done = now_ns();
		client->times_ns[client->connections++] = done - begun;
		begun = done;
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const uint32_t *first = a, *second = b;

	return *first < *second ? -1 : *first > *second;
}

static void run_clients(const struct plan *plan)
{
	static struct client clients[MOST_THREADS];
	long connections = 0, filled = 0;
	long long begun = now_ns(), lasted;
	uint32_t *times_ns;

	for (long i = 0; i < plan->threads; i++) {
		clients[i] = (struct client){.plan = plan};
		clients[i].times_ns = malloc(MOST_TIMES * sizeof(uint32_t));
		if (!clients[i].times_ns)
			fail("malloc");
		if (pthread_create(&clients[i].thread, NULL, ask, &clients[i]) != 0)
			fail("pthread_create");
	}
	for (long i = 0; i < plan->threads; i++) {
		pthread_join(clients[i].thread, NULL);
		connections += clients[i].connections;
	}
	lasted = now_ns() - begun;
	times_ns = malloc((connections + 1) * sizeof(uint32_t));
	if (!times_ns)
		fail("malloc");
	for (long i = 0; i < plan->threads; i++) {
		memcpy(times_ns + filled, clients[i].times_ns,
		       clients[i].connections * sizeof(uint32_t));
		filled += clients[i].connections;
	}
	qsort(times_ns, connections, sizeof(uint32_t), compare);
	report("done", ",\"connections\":%ld,\"ns\":%lld,\"median_ns\":%u,\"p99_ns\":%u",
	       connections, lasted, times_ns[connections / 2], times_ns[connections * 99 / 100]);
}

int main(int argc, char **argv)
{
	static struct plan plan = {.threads = 1, .duration_ms = 1000};
	const struct argument known[] = {
		{.name = "address", .text = &plan.address},
		{.name = "port", .number = &plan.port},
		{.name = "threads", .number = &plan.threads},
		{.name = "duration", .number = &plan.duration_ms},
		{.name = "serve", .flag = &plan.serve},
		{0},
	};
	const char *how = "requests --address ADDRESS --port N [--threads N] [--duration MS] "
			  "[--serve]";
	pthread_t servers[MOST_THREADS];
	int listener;

	parse_arguments(argc, argv, known, how);
	if (!plan.address || plan.threads < 1 || plan.threads > MOST_THREADS)
		usage(how);
	signal(SIGPIPE, SIG_IGN);
	if (!plan.serve) {
		run_clients(&plan);
		return 0;
	}
	listener = listen_on(&plan);
	for (long i = 0; i < plan.threads; i++)
		if (pthread_create(&servers[i], NULL, serve, &listener) != 0)
			fail("pthread_create");
	report("ready", "");
	pthread_join(servers[0], NULL);
	return 0;
}
