/* SPDX-License-Identifier: Apache-2.0 */
/* One Ethernet frame with a UDP datagram, or a fragment of one, written octet by octet. */
#ifndef PROCFLOW_FRAME_H
#define PROCFLOW_FRAME_H

#include "generator.h"

#define FRAME_PAYLOAD_OCTETS 1200
#define FRAME_OCTETS	     1500
#define UDP_PROTOCOL	     17

struct frame_plan {
	union endpoint source;
	union endpoint destination;
	uint8_t destination_mac[6];
	long source_port; /* of the first flow; each further flow has the next */
	long destination_port;
	long size; /* octets of payload behind the UDP header, in each fragment */
	long vlan;
	long inner_vlan;
	long fragments;
	bool ip_options;
	bool extension_headers;
};

struct frame {
	int octets;
	int ip_octets; /* without the Ethernet header and the tags */
};

static inline uint8_t *put16(uint8_t *at, uint16_t value)
{
	at[0] = value >> 8;
	at[1] = value;
	return at + 2;
}

static inline uint8_t *put(uint8_t *at, const void *bytes, size_t length)
{
	memcpy(at, bytes, length);
	return at + length;
}

static inline uint16_t header_checksum(const uint8_t *header, int length)
{
	uint32_t sum = 0;

	for (int i = 0; i < length; i += 2)
		sum += header[i] << 8 | header[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

static inline uint8_t *put_ethernet(const struct frame_plan *plan, uint8_t *at)
{
	static const uint8_t source_mac[6] = {0x02, 0, 0, 0, 0, 0x23};

	at = put(at, plan->destination_mac, 6);
	at = put(at, source_mac, 6);
	if (plan->inner_vlan)
		at = put16(put16(at, 0x88a8), plan->vlan); /* 802.1ad: the service tag */
	else if (plan->vlan)
		at = put16(put16(at, 0x8100), plan->vlan);
	if (plan->inner_vlan)
		at = put16(put16(at, 0x8100), plan->inner_vlan);
	return put16(at, plan->source.any.sa_family == AF_INET ? 0x0800 : 0x86dd);
}

/* `offset` is the fragment's, in octets. */
static inline uint8_t *put_ipv4(const struct frame_plan *plan, uint8_t *at, int payload,
				uint16_t identification, int offset, bool more)
{
	static const uint8_t no_operations[8] = {1, 1, 1, 1, 1, 1, 1, 0};
	uint8_t *header = at;
	int length = plan->ip_options ? 28 : 20;

	*at++ = 0x40 | length / 4;
	*at++ = 0;
	at = put16(at, length + payload);
	at = put16(at, identification);
	at = put16(at, (more ? 0x2000 : 0) | offset / 8);
	*at++ = 64;
	*at++ = UDP_PROTOCOL;
	at = put16(at, 0);
	at = put(at, &plan->source.v4.sin_addr, 4);
	at = put(at, &plan->destination.v4.sin_addr, 4);
	if (plan->ip_options)
		at = put(at, no_operations, 8);
	put16(header + 10, header_checksum(header, length));
	return at;
}

/* Hop-by-hop, routing and destination options before the fragment header, as RFC 8200 §4.1 has it.
 */
static inline uint8_t *put_ipv6(const struct frame_plan *plan, uint8_t *at, int payload,
				uint32_t identification, int offset, bool more)
{
	bool fragmented = plan->fragments > 1;
	uint8_t last = fragmented ? 44 : UDP_PROTOCOL;
	uint8_t hop_by_hop[8] = {60, 0, 1, 4, 0, 0, 0, 0}; /* next: destination options; PadN */
	uint8_t destination_options[16] = {last, 1, 1, 12};
	uint8_t fragment[8] = {UDP_PROTOCOL, 0, offset >> 8, (offset & 0xf8) | more};
	int extensions = (plan->extension_headers ? 24 : 0) + (fragmented ? 8 : 0);

	at = put(at, (uint8_t[]){0x60, 0, 0, 0}, 4);
	at = put16(at, extensions + payload);
	*at++ = plan->extension_headers ? 0 : last;
	*at++ = 64;
	at = put(at, &plan->source.v6.sin6_addr, 16);
	at = put(at, &plan->destination.v6.sin6_addr, 16);
	if (plan->extension_headers)
		at = put(put(at, hop_by_hop, 8), destination_options, 16);
	if (fragmented) {
		put16(put16(fragment + 4, identification >> 16), identification);
		at = put(at, fragment, 8);
	}
	return at;
}

/* All fragments but the last must hold a multiple of eight octets, so sizes are rounded down. */
static inline struct frame build_frame(const struct frame_plan *plan, uint8_t *frame, long flow,
				       long datagram, long fragment)
{
	long part = plan->fragments > 1 ? plan->size & ~7L : plan->size;
	int payload = part + (fragment == 0 ? 8 : 0);
	int offset = fragment == 0 ? 0 : 8 + part * fragment;
	bool more = fragment + 1 < plan->fragments;
	uint8_t *ip = put_ethernet(plan, frame), *at;

	if (plan->source.any.sa_family == AF_INET)
		at = put_ipv4(plan, ip, payload, datagram, offset, more);
	else
		at = put_ipv6(plan, ip, payload, datagram, offset, more);
	if (fragment == 0) {
		at = put16(at, plan->source_port + flow);
		at = put16(at, plan->destination_port);
		at = put16(at, 8 + part * plan->fragments);
		at = put16(at, 0); /* no checksum: receivers of IPv6 drop it, meters count it */
	}
	memset(at, 0x23, part);
	return (struct frame){at + part - frame, at + part - ip};
}

#endif
