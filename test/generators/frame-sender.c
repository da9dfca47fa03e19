// SPDX-License-Identifier: Apache-2.0
/*
 * Sends exactly N Ethernet frames through AF_PACKET, built octet by octet: UDP in IPv4 or IPv6
 * with VLAN tags, IP options, extension headers or fragments, spread over a number of flows. By
 * sendmmsg() or through a ring mapped into the program.
 */
#include "generator.h"
#include "frame.h"
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define BATCH 64

struct plan {
	struct frame_plan frame;
	const char *interface;
	long count;
	long flows;
	long cpu;
	long pause_ms; /* after each round of the flows */
	bool bypass_qdisc;
	bool mapped_ring;
};

static const struct option options[] = {
	{"interface", required_argument, NULL, 'i'},
	{"source", required_argument, NULL, 'f'},
	{"to", required_argument, NULL, 't'},
	{"destination-mac", required_argument, NULL, 'm'},
	{"source-port", required_argument, NULL, 'S'},
	{"port", required_argument, NULL, 'p'},
	{"count", required_argument, NULL, 'n'},
	{"flows", required_argument, NULL, 'F'},
	{"size", required_argument, NULL, 's'},
	{"vlan", required_argument, NULL, 'v'},
	{"inner-vlan", required_argument, NULL, 'V'},
	{"fragments", required_argument, NULL, 'k'},
	{"ip-options", no_argument, NULL, 'o'},
	{"extension-headers", no_argument, NULL, 'x'},
	{"cpu", required_argument, NULL, 'c'},
	{"pause", required_argument, NULL, 'P'},
	{"bypass-qdisc", no_argument, NULL, 'b'},
	{"mapped-ring", no_argument, NULL, 'r'},
	{0},
};

static void parse_mac(uint8_t *mac, const char *text)
{
	if (sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", mac, mac + 1, mac + 2, mac + 3,
		   mac + 4, mac + 5) != 6) {
		fprintf(stderr, "not a MAC address: %s\n", text);
		exit(2);
	}
}

static void parse_option(struct plan *plan, int option)
{
	switch (option) {
	case 'i':
		plan->interface = optarg;
		break;
	case 'f':
		plan->frame.source = endpoint(optarg, 0);
		break;
	case 't':
		plan->frame.destination = endpoint(optarg, 0);
		break;
	case 'm':
		parse_mac(plan->frame.destination_mac, optarg);
		break;
	case 'S':
		plan->frame.source_port = number(optarg);
		break;
	case 'p':
		plan->frame.destination_port = number(optarg);
		break;
	case 'n':
		plan->count = number(optarg);
		break;
	case 'F':
		plan->flows = number(optarg);
		break;
	case 's':
		plan->frame.size = number(optarg);
		break;
	case 'v':
		plan->frame.vlan = number(optarg);
		break;
	case 'V':
		plan->frame.inner_vlan = number(optarg);
		break;
	case 'k':
		plan->frame.fragments = number(optarg);
		break;
	case 'o':
		plan->frame.ip_options = true;
		break;
	case 'x':
		plan->frame.extension_headers = true;
		break;
	case 'c':
		plan->cpu = number(optarg);
		break;
	case 'P':
		plan->pause_ms = number(optarg);
		break;
	case 'b':
		plan->bypass_qdisc = true;
		break;
	case 'r':
		plan->mapped_ring = true;
		break;
	default:
		usage("frame-sender --interface NAME --destination-mac MAC --source ADDRESS "
		      "--to ADDRESS --port N [--source-port N] [--count N] [--flows N] [--size N] "
		      "[--vlan N [--inner-vlan N]] [--fragments N] [--ip-options] "
		      "[--extension-headers] [--cpu N] [--pause MS] [--bypass-qdisc] "
		      "[--mapped-ring]");
	}
}

static struct plan parse(int argc, char **argv)
{
	struct plan plan = {
		.count = 1,
		.flows = 1,
		.cpu = -1,
		.frame = {.size = 32, .fragments = 1, .source_port = 10000},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		parse_option(&plan, option);
	if (!plan.interface || plan.frame.destination.any.sa_family == 0 ||
	    plan.frame.source.any.sa_family != plan.frame.destination.any.sa_family ||
	    plan.frame.size > FRAME_PAYLOAD_OCTETS || plan.frame.fragments < 1)
		parse_option(&plan, '?');
	return plan;
}

static int open_packet_socket(const struct plan *plan)
{
	struct sockaddr_ll link = {.sll_family = AF_PACKET};
	int on = 1, socket_fd = socket(AF_PACKET, SOCK_RAW, 0);

	if (socket_fd < 0)
		fail("socket(AF_PACKET)");
	link.sll_ifindex = if_nametoindex(plan->interface);
	if (link.sll_ifindex == 0)
		fail(plan->interface);
	if (bind(socket_fd, (struct sockaddr *)&link, sizeof(link)) != 0)
		fail("bind");
	if (plan->bypass_qdisc &&
	    setsockopt(socket_fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)) != 0)
		fail("PACKET_QDISC_BYPASS");
	return socket_fd;
}

static void send_batch(int socket_fd, struct mmsghdr *messages, int length)
{
	for (int sent = 0; sent < length;) {
		int part = sendmmsg(socket_fd, messages + sent, length - sent, 0);

		/* a full queue: the frame was not taken, so it is sent again */
		if (part < 0 && errno != ENOBUFS && errno != EAGAIN)
			fail("sendmmsg");
		if (part > 0)
			sent += part;
	}
}

/* Frame i is fragment i mod fragments of a datagram of flow (i / fragments) mod flows. */
static long send_frames(const struct plan *plan, int socket_fd)
{
	static uint8_t frames[BATCH][FRAME_OCTETS];
	struct mmsghdr messages[BATCH] = {0};
	struct iovec parts[BATCH];
	long octets = 0, round = 0;

	for (long done = 0; done < plan->count;) {
		int length = 0;

		if (plan->pause_ms && done / plan->frame.fragments / plan->flows > round) {
			round++;
			usleep(plan->pause_ms * 1000);
		}

		for (; length < BATCH && done < plan->count; length++, done++) {
			long datagram = done / plan->frame.fragments;
			struct frame frame =
				build_frame(&plan->frame, frames[length], datagram % plan->flows,
					    datagram, done % plan->frame.fragments);

			octets += frame.ip_octets;
			parts[length] = (struct iovec){frames[length], frame.octets};
			messages[length].msg_hdr.msg_iov = &parts[length];
			messages[length].msg_hdr.msg_iovlen = 1;
		}
		send_batch(socket_fd, messages, length);
	}
	return octets;
}

/* The frames of a ring that kernel and program share; one send() hands over all that are marked. */
static long send_through_ring(const struct plan *plan, int socket_fd)
{
	struct tpacket_req request = {
		.tp_block_size = BATCH * 2048,
		.tp_block_nr = 1,
		.tp_frame_size = 2048,
		.tp_frame_nr = BATCH,
	};
	long octets = 0;
	uint8_t *ring;

	if (setsockopt(socket_fd, SOL_PACKET, PACKET_TX_RING, &request, sizeof(request)) != 0)
		fail("PACKET_TX_RING");
	ring = mmap(NULL, request.tp_block_size, PROT_READ | PROT_WRITE, MAP_SHARED, socket_fd, 0);
	if (ring == MAP_FAILED)
		fail("mmap of the ring");
	for (long done = 0; done < plan->count;) {
		for (int slot = 0; slot < BATCH && done < plan->count; slot++, done++) {
			struct tpacket_hdr *header = (void *)(ring + slot * 2048);
			long datagram = done / plan->frame.fragments;
			struct frame frame = build_frame(
				&plan->frame,
				(uint8_t *)header + TPACKET_HDRLEN - sizeof(struct sockaddr_ll),
				datagram % plan->flows, datagram, done % plan->frame.fragments);

			octets += frame.ip_octets;
			header->tp_len = frame.octets;
			header->tp_status = TP_STATUS_SEND_REQUEST;
		}
		/* It returns when every frame is sent: the slots are free again. */
		if (send(socket_fd, NULL, 0, 0) < 0)
			fail("send");
	}
	return octets;
}

int main(int argc, char **argv)
{
	struct plan plan = parse(argc, argv);
	int socket_fd = open_packet_socket(&plan);
	long octets;

	if (plan.cpu >= 0) {
		cpu_set_t cpus;

		CPU_ZERO(&cpus);
		CPU_SET(plan.cpu, &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus) != 0)
			fail("sched_setaffinity");
	}
	octets = plan.mapped_ring ? send_through_ring(&plan, socket_fd)
				  : send_frames(&plan, socket_fd);
	report("done", ",\"packets\":%ld,\"octets\":%ld", plan.count, octets);
	return 0;
}
