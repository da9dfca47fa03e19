// SPDX-License-Identifier: Apache-2.0
/*
 * The far end of a tun device: sends each UDP datagram over IPv4 that comes out of it back, with
 * addresses and ports exchanged, until it has done so N times. The IP checksum stays right.
 */
#include "generator.h"
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>

#define IP_HEADER 20

static const struct option options[] = {
	{"interface", required_argument, NULL, 'i'},
	{"count", required_argument, NULL, 'n'},
	{0},
};

static int open_tun(const char *name)
{
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
	int fd = open("/dev/net/tun", O_RDWR);

	if (fd < 0)
		fail("/dev/net/tun");
	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &request) != 0)
		fail("TUNSETIFF");
	return fd;
}

static void swap(uint8_t *a, uint8_t *b, size_t length)
{
	uint8_t kept[4];

	memcpy(kept, a, length);
	memcpy(a, b, length);
	memcpy(b, kept, length);
}

int main(int argc, char **argv)
{
	const char *interface = NULL;
	long count = 1, octets = 0;
	uint8_t packet[2048];
	int option, fd;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'i')
			interface = optarg;
		else if (option == 'n')
			count = number(optarg);
		else
			usage("tun-echo --interface NAME [--count N]");
	}
	if (interface == NULL)
		usage("tun-echo --interface NAME [--count N]");
	fd = open_tun(interface);
	report("ready", "");
	for (long echoed = 0; echoed < count;) {
		ssize_t length = read(fd, packet, sizeof(packet));

		if (length < 0)
			fail("read");
		if (length < IP_HEADER + 8 || packet[0] != 0x45 || packet[9] != IPPROTO_UDP)
			continue; /* the kernel's own: router solicitations and the like */
		swap(&packet[12], &packet[16], 4);
		swap(&packet[IP_HEADER], &packet[IP_HEADER + 2], 2);
		if (write(fd, packet, length) != length)
			fail("write");
		octets += length;
		echoed++;
	}
	report("done", ",\"packets\":%ld,\"octets\":%ld", count, octets);
	return 0;
}
