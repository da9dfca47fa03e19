// SPDX-License-Identifier: Apache-2.0
/*
 * Sends N packets of an IP protocol of which the kernel knows nothing, from a raw socket of that
 * protocol or, with the IP header written here, from one of IPPROTO_RAW.
 */
#include "generator.h"
#include <linux/ip.h>
#include <netinet/ip6.h>

struct plan {
	const char *address;
	long protocol;
	long count;
	long size;
	bool connected;
	bool ip_options;
	bool header_included;
};

static const struct option options[] = {
	{"to", required_argument, NULL, 'a'},	     {"protocol", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},     {"size", required_argument, NULL, 's'},
	{"connected", no_argument, NULL, 'c'},	     {"ip-options", no_argument, NULL, 'o'},
	{"header-included", no_argument, NULL, 'h'}, {0},
};

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {.protocol = 253, .count = 1, .size = 32};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			plan.address = optarg;
			break;
		case 'p':
			plan.protocol = number(optarg);
			break;
		case 'n':
			plan.count = number(optarg);
			break;
		case 's':
			plan.size = number(optarg);
			break;
		case 'c':
			plan.connected = true;
			break;
		case 'o':
			plan.ip_options = true;
			break;
		case 'h':
			plan.header_included = true;
			break;
		default:
			plan.address = NULL;
			optind = argc;
		}
	}
	if (!plan.address || plan.size > 64000)
		usage("raw-sender --to ADDRESS [--protocol N] [--count N] [--size N] "
		      "[--connected] [--ip-options] [--header-included]");
	return plan;
}

/* The address that the route to the peer begins at: IPv6 fills in nothing. */
static union endpoint local_address(const union endpoint *peer)
{
	int socket_fd = open_socket(peer->any.sa_family, SOCK_DGRAM, 0);
	union endpoint towards = *peer, local = {0};
	socklen_t length = sizeof(local);

	towards.v4.sin_port = htons(9);
	if (connect(socket_fd, &towards.any, endpoint_length(&towards)) != 0)
		fail("connect");
	if (getsockname(socket_fd, &local.any, &length) != 0)
		fail("getsockname");
	close(socket_fd);
	return local;
}

/* The kernel fills in IPv4's length, identification and checksum. */
static int put_ip_header(uint8_t *at, const struct plan *plan, const union endpoint *peer)
{
	union endpoint local = local_address(peer);

	if (peer->any.sa_family == AF_INET) {
		struct iphdr header = {.version = 4, .ihl = 5, .ttl = 64};

		header.protocol = plan->protocol;
		header.saddr = local.v4.sin_addr.s_addr;
		header.daddr = peer->v4.sin_addr.s_addr;
		memcpy(at, &header, sizeof(header));
		return sizeof(header);
	}
	struct ip6_hdr header = {.ip6_ctlun.ip6_un1 = {htonl(6 << 28), htons(plan->size), 0, 64}};

	header.ip6_nxt = plan->protocol;
	header.ip6_src = local.v6.sin6_addr;
	header.ip6_dst = peer->v6.sin6_addr;
	memcpy(at, &header, sizeof(header));
	return sizeof(header);
}

int main(int argc, char **argv)
{
	static uint8_t payload[65000];
	struct plan plan = parse(argc, argv);
	union endpoint peer = endpoint(plan.address, 0);
	int family = peer.any.sa_family, header = ip_header_length(family);
	int socket_fd =
		open_socket(family, SOCK_RAW, plan.header_included ? IPPROTO_RAW : plan.protocol);
	long size = plan.size;

	if (plan.ip_options)
		header += add_ip_options(socket_fd, family);
	if (plan.header_included)
		size += put_ip_header(payload, &plan, &peer);
	if (plan.connected && connect(socket_fd, &peer.any, endpoint_length(&peer)) != 0)
		fail("connect");
	for (long i = 0; i < plan.count; i++) {
		if (sendto(socket_fd, payload, size, 0, plan.connected ? NULL : &peer.any,
			   plan.connected ? 0 : endpoint_length(&peer)) != size)
			fail("sendto");
	}
	report("done", ",\"protocol\":%ld,\"packets\":%ld,\"octets\":%ld", plan.protocol,
	       plan.count, plan.count * (header + plan.size));
	return 0;
}
