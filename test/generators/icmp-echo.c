// SPDX-License-Identifier: Apache-2.0
/*
 * Sends N echo requests and waits for each reply, through a raw socket or a ping socket. With
 * --unconnected a raw socket gets every other echo of the host, too.
 */
#include "generator.h"
#include <sys/time.h>

struct plan {
	const char *address;
	long count;
	long size;
	bool ping_socket;
	bool unconnected;
	bool wait;
};

/* The eight octets that ICMP and ICMPv6 echo share. */
struct echo {
	uint8_t type;
	uint8_t code;
	uint16_t checksum;
	uint16_t identifier;
	uint16_t sequence;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},
	{"count", required_argument, NULL, 'n'},
	{"size", required_argument, NULL, 's'},
	{"ping-socket", no_argument, NULL, 'g'},
	{"unconnected", no_argument, NULL, 'u'},
	{"wait", no_argument, NULL, 'w'},
	{0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.count = 1, .size = 56};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'n':
			plan.count = number(optarg);
			break;
		case 's':
			plan.size = number(optarg);
			break;
		case 'g':
			plan.ping_socket = true;
			break;
		case 'u':
			plan.unconnected = true;
			break;
		case 'w':
			plan.wait = true;
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 1400)
		usage("icmp-echo --to ADDRESS [--count N] [--size N] [--ping-socket] "
		      "[--unconnected] [--wait]");
	return plan;
}

/* RFC 1071; the kernel fills in ICMPv6's, and a ping socket's, by itself. */
static uint16_t checksum(const uint8_t *bytes, size_t length)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	if (length & 1)
		sum += bytes[length - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons(~sum);
}

/* A raw IPv4 socket delivers the IP header too, and every other echo of the host. */
static void await_reply(int socket_fd, bool raw_ipv4, const struct echo *request, bool ping_socket)
{
	uint8_t packet[2048];
	uint8_t reply_type = request->type == 8 ? 0 : 129;

	for (;;) {
		ssize_t got = recv(socket_fd, packet, sizeof(packet), 0);
		size_t skip = raw_ipv4 ? (packet[0] & 15) * 4 : 0;
		struct echo reply;

		if (got < 0)
			fail("no echo reply");
		if ((size_t)got < skip + sizeof(reply))
			continue;
		memcpy(&reply, packet + skip, sizeof(reply));
		if (reply.type == reply_type && reply.sequence == request->sequence &&
		    (ping_socket || reply.identifier == request->identifier))
			return;
	}
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, 0);
	bool v4 = peer.any.sa_family == AF_INET;
	int socket_fd = open_socket(peer.any.sa_family, plan.ping_socket ? SOCK_DGRAM : SOCK_RAW,
				    v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	struct timeval patience = {.tv_sec = 5};
	struct echo echo = {.type = v4 ? 8 : 128, .identifier = htons(getpid() & 0xffff)};
	uint8_t packet[2048] = {0};
	ssize_t length = sizeof(echo) + plan.size;

	if (setsockopt(socket_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) != 0)
		fail("SO_RCVTIMEO");
	if (!plan.unconnected && connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	if (plan.wait) {
		report("ready", "");
		wait_for_word();
	}
	for (long i = 0; i < plan.count; i++) {
		echo.sequence = htons(i);
		echo.checksum = 0;
		memcpy(packet, &echo, sizeof(echo));
		if (v4) {
			echo.checksum = checksum(packet, length);
			memcpy(packet, &echo, sizeof(echo));
		}
		if (sendto(socket_fd, packet, length, 0, plan.unconnected ? &peer.any : NULL,
			   plan.unconnected ? endpoint_length(&peer) : 0) != length)
			fail("send");
		await_reply(socket_fd, v4 && !plan.ping_socket, &echo, plan.ping_socket);
	}
	/* both directions count the same */
	report("done", ",\"identifier\":%d,\"packets\":%ld,\"octets\":%ld",
	       plan.ping_socket ? local_port(socket_fd) : ntohs(echo.identifier), plan.count,
	       plan.count * (ip_header_length(peer.any.sa_family) + length));
	return 0;
}
