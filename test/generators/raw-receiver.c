// SPDX-License-Identifier: Apache-2.0
/* Receives N packets of one IP protocol on a raw socket. It never sends. */
#include "generator.h"

int main(int argc, char **argv)
{
	static char packet[65536];
	const char *address = NULL;
	long protocol = 253, count = 1, octets = 0;
	const struct argument known[] = {
		{"address", .text = &address},
		{"protocol", .number = &protocol},
		{"count", .number = &count},
		{0},
	};
	const char *text = "raw-receiver --address ADDRESS [--protocol N] [--count N]";
	union endpoint local;
	int socket_fd, header;

	parse_arguments(argc, argv, known, text);
	if (address == NULL)
		usage(text);
	local = endpoint(address, 0);
	socket_fd = open_socket(local.any.sa_family, SOCK_RAW, protocol);
	if (bind(socket_fd, &local.any, endpoint_length(&local)) != 0)
		fail("bind");
	report("ready", "");
	header = local.any.sa_family == AF_INET ? 0 : 40; /* IPv6 delivers no header */
	for (long i = 0; i < count; i++) {
		ssize_t got = recv(socket_fd, packet, sizeof(packet), 0);

		if (got < 0)
			fail("recv");
		octets += header + got;
	}
	report("done", ",\"protocol\":%ld,\"packets\":%ld,\"octets\":%ld", protocol, count, octets);
	return 0;
}
