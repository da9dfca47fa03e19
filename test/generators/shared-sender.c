// SPDX-License-Identifier: Apache-2.0
/*
 * One unconnected UDP socket, N processes: each sends to a peer of its own, the i-th to port P + i,
 * all at the same time.
 */
#include "generator.h"
#include <sys/wait.h>

static const char usage_text[] =
	"shared-sender --to ADDRESS --port P [--processes N] [--count N] [--size N]";

int main(int argc, char **argv)
{
	static char payload[65000];
	const char *address = NULL;
	long port = 0, processes = 2, count = 1, size = 32;
	const struct argument arguments[] = {
		{"to", .text = &address},
		{"port", .number = &port},
		{"processes", .number = &processes},
		{"count", .number = &count},
		{"size", .number = &size},
		{0},
	};
	int socket_fd, status, failed = 0;

	parse_arguments(argc, argv, arguments, usage_text);
	if (!address || size > (long)sizeof(payload))
		usage(usage_text);
	socket_fd = open_socket(endpoint(address, 0).any.sa_family, SOCK_DGRAM, 0);
	for (long i = 0; i < processes; i++) {
		union endpoint peer = endpoint(address, port + i);

		if (fork_child() != 0)
			continue;
		for (long n = 0; n < count; n++) {
			if (sendto(socket_fd, payload, size, 0, &peer.any,
				   endpoint_length(&peer)) != size)
				fail("sendto");
		}
		report("sent", ",\"port\":%d,\"peer_port\":%ld,\"packets\":%ld,\"octets\":%ld",
		       local_port(socket_fd), port + i, count,
		       count * (ip_header_length(peer.any.sa_family) + 8 + size));
		return 0;
	}
	while (wait(&status) > 0)
		failed |= status;
	return failed != 0;
}
