// SPDX-License-Identifier: Apache-2.0
/*
 * Accepts N connections, reads each to its end, answers if asked to, and exits. Who serves:
 * the process that accepts; a child forked for the connection (--fork); a thread (--threads); or
 * one of several workers, which accept from the one socket (--workers), listen each on a socket of
 * its own (--reuseport), or are handed the connection over a Unix socket (--pass).
 * With --close-unread it reads one octet and closes while the rest is unread: a reset.
 * With "-- PROGRAM" it becomes that program in the end, which inherits the listening socket.
 */
#include "descriptor.h"
#include "generator.h"
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

#define MOST_WORKERS 256
#define TCP_CLOSED   7 /* include/net/tcp_states.h: TCP_CLOSE */

struct plan {
	const char *address;
	long port;
	long count;
	long workers;
	long listening_fd;
	long reply;
	long backlog;
	bool echo;
	bool fork;
	bool threads;
	bool reuseport;
	bool pass;
	bool sctp;
	bool wait;
	bool wait_to_reply;
	bool never_accept;
	bool close_unread;
};

struct connection {
	const struct plan *plan;
	int socket_fd;
	int peer_port;
};

static int listen_on(const struct plan *plan, long port)
{
	union endpoint local = endpoint(plan->address, port);
	int socket_fd =
		open_socket(local.any.sa_family, SOCK_STREAM, plan->sctp ? IPPROTO_SCTP : 0);
	int on = 1;

	if (plan->reuseport &&
	    setsockopt(socket_fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
		fail("SO_REUSEPORT");
	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (listen(socket_fd, plan->backlog) != 0)
		fail("listen");
	return socket_fd;
}

/*
 * TCP_INFO is complete when the peer has everything: what is still queued is not yet counted. It
 * stays queued where the peer has gone without reading.
 */
static void await_acknowledgement(int socket_fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	int queued = 0;

	while (ioctl(socket_fd, SIOCOUTQ, &queued) == 0 && queued > 0 &&
	       getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) == 0 &&
	       info.tcpi_state != TCP_CLOSED)
		usleep(100);
}

/* Returns false when the peer has gone without reading. */
static bool send_all(int socket_fd, const char *block, long octets)
{
	for (long sent = 0; sent < octets;) {
		long part = octets - sent < 65536 ? octets - sent : 65536;
		ssize_t got = send(socket_fd, block, part, MSG_NOSIGNAL);

		if (got < 0 && (errno == ECONNRESET || errno == EPIPE))
			return false;
		if (got < 0)
			fail("send");
		sent += got;
	}
	return true;
}

static void close_unread(const struct connection *connection)
{
	char octet;

	if (recv(connection->socket_fd, &octet, 1, 0) != 1)
		fail("recv");
	close(connection->socket_fd);
	report("served", ",\"peer_port\":%d", connection->peer_port);
}

static void serve(const struct connection *connection)
{
	const struct plan *plan = connection->plan;
	int socket_fd = connection->socket_fd;
	char block[65536] = {0};
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	long octets = 0;
	ssize_t got;

	if (plan->close_unread) {
		close_unread(connection);
		return;
	}
	while ((got = recv(socket_fd, block, sizeof(block), 0)) > 0) {
		octets += got;
		if (plan->echo)
			send_all(socket_fd, block, got);
	}
	if (got < 0 && errno != ECONNRESET) /* a client that left without reading the echo */
		fail("recv");
	if (plan->wait_to_reply) {
		report("read", ",\"peer_port\":%d", connection->peer_port);
		wait_for_word();
	}
	if (got == 0 && !plan->sctp && send_all(socket_fd, block, plan->reply))
		await_acknowledgement(socket_fd);
	if (!plan->sctp && getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		fail("TCP_INFO");
	close(socket_fd);
	report("served",
	       ",\"peer_port\":%d,\"received_octets\":%ld,\"sent_octets\":%ld,\"segments_out\":%u,"
	       "\"segments_in\":%u,\"transmitted_octets\":%llu",
	       connection->peer_port, octets, (plan->echo ? octets : 0) + plan->reply,
	       info.tcpi_segs_out, info.tcpi_segs_in, info.tcpi_bytes_sent);
}

static void *serve_in_thread(void *argument)
{
	prctl(PR_SET_NAME, "a-thread");
	serve(argument);
	free(argument);
	return NULL;
}

static struct connection accept_one(const struct plan *plan, int listening_fd)
{
	struct connection connection = {.plan = plan};
	union endpoint peer = {0};
	socklen_t length = sizeof(peer);

	connection.socket_fd = accept(listening_fd, &peer.any, &length);
	if (connection.socket_fd < 0)
		fail("accept");
	connection.peer_port = endpoint_port(&peer);
	if (plan->wait) {
		report("accepted", ",\"peer_port\":%d", connection.peer_port);
		wait_for_word();
	}
	return connection;
}

static void accept_and_serve(const struct plan *plan, int listening_fd)
{
	pthread_t threads[MOST_WORKERS];

	for (long i = 0; i < plan->count; i++) {
		struct connection connection = accept_one(plan, listening_fd), *own;

		if (plan->threads) {
			own = malloc(sizeof(*own));
			*own = connection;
			if (pthread_create(&threads[i], NULL, serve_in_thread, own) != 0)
				fail("pthread_create");
		} else if (!plan->fork) {
			serve(&connection);
		} else if (fork_child() == 0) {
			serve(&connection);
			_exit(0);
		} else {
			close(connection.socket_fd);
		}
	}
	for (long i = 0; plan->threads && i < plan->count; i++)
		pthread_join(threads[i], NULL);
	while (wait(NULL) > 0)
		;
}

static void announce(int fd)
{
	if (write(fd, "", 1) != 1)
		fail("write");
}

static void await_announcements(int fd, long count)
{
	char byte;

	for (long i = 0; i < count; i++) {
		if (read(fd, &byte, 1) != 1)
			fail("read");
	}
}

/* A worker serves until it is ended; by one octet it says that it is ready, or has served. */
static void work(const struct plan *plan, int listening_fd, int handed_over_fd, int served_fd)
{
	for (;;) {
		struct connection connection;

		if (plan->pass) {
			connection = (struct connection){.plan = plan};
			connection.socket_fd = receive_descriptor(handed_over_fd);
			connection.peer_port = peer_port(connection.socket_fd);
		} else {
			connection = accept_one(plan, listening_fd);
		}
		serve(&connection);
		announce(served_fd);
	}
}

static void serve_by_workers(const struct plan *plan, int listening_fd)
{
	int workers[MOST_WORKERS], pass_to[MOST_WORKERS], served[2], pair[2];
	int port = local_port(listening_fd);

	if (pipe(served) != 0)
		fail("pipe");
	for (long i = 0; i < plan->workers; i++) {
		if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
			fail("socketpair");
		pass_to[i] = pair[0];
		workers[i] = fork_child();
		if (workers[i] != 0)
			continue;
		if (plan->reuseport) {
			int own_fd = listen_on(plan, port);

			close(listening_fd);
			listening_fd = own_fd;
		}
		announce(served[1]);
		work(plan, listening_fd, pair[1], served[1]);
	}
	await_announcements(served[0], plan->workers);
	if (plan->reuseport)
		close(listening_fd); /* only the workers' get connections */
	report("ready", ",\"port\":%d", port);
	for (long i = 0; plan->pass && i < plan->count; i++) {
		struct connection connection = accept_one(plan, listening_fd);

		pass_descriptor(pass_to[i % plan->workers], connection.socket_fd);
		close(connection.socket_fd);
	}
	await_announcements(served[0], plan->count);
	for (long i = 0; i < plan->workers; i++) {
		kill(workers[i], SIGKILL);
		waitpid(workers[i], NULL, 0);
	}
}

static const char usage_text[] =
	"tcp-server [--address ADDRESS] [--port N] [--listening-fd N] [--count N] [--echo] "
	"[--sctp] "
	"[--reply OCTETS] [--fork|--threads|--workers N [--reuseport|--pass]] [--wait] "
	"[--wait-to-reply] [--backlog N] [--never-accept] [--close-unread] [-- PROGRAM "
	"ARGUMENT...]";

int main(int argc, char **argv)
{
	struct plan plan = {.address = "::", .count = 1, .listening_fd = -1, .backlog = 4096};
	const struct argument arguments[] = {
		{"address", .text = &plan.address},
		{"port", .number = &plan.port},
		{"listening-fd", .number = &plan.listening_fd},
		{"count", .number = &plan.count},
		{"workers", .number = &plan.workers},
		{"reply", .number = &plan.reply},
		{"backlog", .number = &plan.backlog},
		{"echo", .flag = &plan.echo},
		{"fork", .flag = &plan.fork},
		{"threads", .flag = &plan.threads},
		{"reuseport", .flag = &plan.reuseport},
		{"pass", .flag = &plan.pass},
		{"sctp", .flag = &plan.sctp},
		{"wait", .flag = &plan.wait},
		{"never-accept", .flag = &plan.never_accept},
		{"close-unread", .flag = &plan.close_unread},
		{"wait-to-reply", .flag = &plan.wait_to_reply},
		{0},
	};
	int next = parse_arguments(argc, argv, arguments, usage_text);
	int listening_fd = plan.listening_fd;

	if (plan.workers > MOST_WORKERS || (plan.threads && plan.count > MOST_WORKERS))
		usage(usage_text);
	if (listening_fd < 0)
		listening_fd = listen_on(&plan, plan.port);
	if (plan.workers > 0) {
		serve_by_workers(&plan, listening_fd);
	} else {
		report("ready", ",\"port\":%d", local_port(listening_fd));
		if (plan.never_accept)
			wait_for_word();
		else
			accept_and_serve(&plan, listening_fd);
	}
	report("done", "");
	if (next < argc)
		become(argv + next, "--listening-fd", listening_fd);
	return 0;
}
