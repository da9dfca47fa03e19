// SPDX-License-Identifier: Apache-2.0
/*
 * Sends a datagram, renames itself, and sends another one from a second socket: two flows of one
 * process under two names.
 */
#include "generator.h"
#include <sys/prctl.h>

static void send_one(const union endpoint *peer)
{
	int socket_fd = open_socket(peer->any.sa_family, SOCK_DGRAM, 0);

	if (sendto(socket_fd, "", 1, 0, &peer->any, endpoint_length(peer)) != 1)
		fail("sendto");
	report("done", ",\"port\":%d,\"packets\":1,\"octets\":%d", local_port(socket_fd),
	       ip_header_length(peer->any.sa_family) + 8 + 1);
}

int main(int argc, char **argv)
{
	const char *address = NULL, *name = "renamed";
	long port = 0;
	const struct argument known[] = {
		{"to", .text = &address},
		{"port", .number = &port},
		{"new-name", .text = &name},
		{0},
	};
	const char *text = "renaming-sender --to ADDRESS --port N [--new-name NAME]";
	union endpoint peer;

	parse_arguments(argc, argv, known, text);
	if (address == NULL)
		usage(text);
	peer = endpoint(address, port);
	send_one(&peer);
	if (prctl(PR_SET_NAME, name) != 0)
		fail("PR_SET_NAME");
	send_one(&peer);
	return 0;
}
