// SPDX-License-Identifier: Apache-2.0
/*
 * Accepts N connections, reads each to its end, echoes it if asked to, and exits. With --fork
 * the parent accepts and a child serves; with --workers children accept for themselves.
 */
#include "generator.h"
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/wait.h>

struct plan {
	const char *address;
	long port;
	long count;
	long workers;
	bool echo;
	bool fork;
	bool wait;
};

static const struct option options[] = {
	{"address", required_argument, NULL, 'a'}, {"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},   {"workers", required_argument, NULL, 'k'},
	{"echo", no_argument, NULL, 'e'},	   {"fork", no_argument, NULL, 'f'},
	{"wait", no_argument, NULL, 'w'},	   {0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.address = "::", .count = 1};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.port = number(optarg);
			break;
		case 'n':
			plan.count = number(optarg);
			break;
		case 'k':
			plan.workers = number(optarg);
			break;
		case 'e':
			plan.echo = true;
			break;
		case 'f':
			plan.fork = true;
			break;
		case 'w':
			plan.wait = true;
			break;
		default:
			usage("tcp-server [--address ADDRESS] [--port N] [--count N] [--echo] "
			      "[--fork] [--workers N] [--wait]");
		}
	}
	return plan;
}

static int listen_on(const struct plan *plan)
{
	union endpoint local = endpoint(plan->address, plan->port);
	int socket_fd = open_socket(local.any.sa_family, SOCK_STREAM, 0);

	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	if (listen(socket_fd, 4096) != 0)
		fail("listen");
	return socket_fd;
}

/* TCP_INFO is complete when the peer has everything: what is still queued is not yet counted. */
static void await_acknowledgement(int socket_fd)
{
	int queued = 0;

	while (ioctl(socket_fd, SIOCOUTQ, &queued) == 0 && queued > 0)
		usleep(100);
}

static void serve(const struct plan *plan, int socket_fd, int peer_port)
{
	static char block[65536];
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);
	long octets = 0;
	ssize_t got;

	while ((got = recv(socket_fd, block, sizeof(block), 0)) > 0) {
		octets += got;
		for (ssize_t sent = 0, part; plan->echo && sent < got; sent += part) {
			part = send(socket_fd, block + sent, got - sent, MSG_NOSIGNAL);
			if (part < 0)
				fail("send");
		}
	}
	if (got < 0 && errno != ECONNRESET) /* a client that left without reading the echo */
		fail("recv");
	if (got == 0)
		await_acknowledgement(socket_fd);
	if (getsockopt(socket_fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0)
		fail("TCP_INFO");
	close(socket_fd);
	report("served",
	       ",\"peer_port\":%d,\"received_octets\":%ld,\"sent_octets\":%ld,\"segments_out\":%u,"
	       "\"segments_in\":%u,\"transmitted_octets\":%llu",
	       peer_port, octets, plan->echo ? octets : 0, info.tcpi_segs_out, info.tcpi_segs_in,
	       info.tcpi_bytes_sent);
}

static void accept_and_serve(const struct plan *plan, int listening_fd, long count)
{
	for (long i = 0; i < count; i++) {
		union endpoint peer = {0};
		socklen_t length = sizeof(peer);
		int socket_fd = accept(listening_fd, &peer.any, &length);

		if (socket_fd < 0)
			fail("accept");
		if (plan->wait) {
			report("accepted", ",\"peer_port\":%d", endpoint_port(&peer));
			wait_for_word();
		}
		if (!plan->fork) {
			serve(plan, socket_fd, endpoint_port(&peer));
			continue;
		}
		if (fork() == 0) {
			serve(plan, socket_fd, endpoint_port(&peer));
			_exit(0);
		}
		close(socket_fd);
	}
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	int listening_fd = listen_on(&plan);

	report("ready", ",\"port\":%d", local_port(listening_fd));
	for (long i = 0; i < plan.workers; i++) {
		if (fork() == 0) {
			accept_and_serve(&plan, listening_fd, plan.count / plan.workers);
			_exit(0);
		}
	}
	if (plan.workers == 0)
		accept_and_serve(&plan, listening_fd, plan.count);
	while (wait(NULL) > 0)
		;
	report("done", "");
	return 0;
}
