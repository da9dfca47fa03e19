// SPDX-License-Identifier: Apache-2.0
/*
 * Opens and connects a socket and passes it over a Unix socket to a process that was there before
 * the socket was, which sends. With --use-first the passing process sends one datagram, or one
 * octet of the stream, before, and waits for a line of standard input.
 */
#include "descriptor.h"
#include "generator.h"
#include <sys/wait.h>

static const char usage_text[] =
	"pass-descriptor --to ADDRESS --port N [--tcp|--udp] [--count N] [--size N] [--use-first]";

static void send_octets(int socket_fd, long count, long size)
{
	static char payload[65000];

	for (long i = 0; i < count; i++) {
		if (send(socket_fd, payload, size, 0) != size)
			fail("send");
	}
}

int main(int argc, char **argv)
{
	const char *address = NULL;
	long port = 0, count = 1, size = 32;
	bool tcp = false, udp = false, use_first = false;
	const struct argument arguments[] = {
		{"to", .text = &address},
		{"port", .number = &port},
		{"count", .number = &count},
		{"size", .number = &size},
		{"tcp", .flag = &tcp},
		{"udp", .flag = &udp},
		{"use-first", .flag = &use_first},
		{0},
	};
	union endpoint peer;
	int pair[2], socket_fd, status = 0;

	parse_arguments(argc, argv, arguments, usage_text);
	if (!address || size > 65000)
		usage(usage_text);
	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0)
		fail("socketpair");
	if (fork_child() == 0) {
		socket_fd = receive_descriptor(pair[1]);
		send_octets(socket_fd, count, size);
		report("done", ",\"port\":%d,\"packets\":%ld,\"sent_octets\":%ld",
		       local_port(socket_fd), count, count * size);
		return 0;
	}
	peer = endpoint(address, port);
	socket_fd = open_socket(peer.any.sa_family, udp ? SOCK_DGRAM : SOCK_STREAM, 0);
	if (connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (use_first) {
		send_octets(socket_fd, 1, size);
		report("sent", ",\"port\":%d", local_port(socket_fd));
		wait_for_word();
	}
	pass_descriptor(pair[0], socket_fd);
	if (wait(&status) < 0)
		fail("wait");
	return WEXITSTATUS(status);
}
