/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Where the parser finds a packet's octets: an skb is the packet, or (capture_replay.bpf.c) has
 * several frames of a capture file. They are copied out with bpf_skb_load_bytes, which also reaches
 * headers outside the linear part: packets of AF_PACKET senders have 14 octets there, or none.
 */
#ifndef PROCFLOW_PACKET_OCTETS_H
#define PROCFLOW_PACKET_OCTETS_H

#include "ip_headers.h"

/* Handed on by value and inlined: of an skb that is the packet nothing but its pointer is left. */
struct packet_octets {
	struct __sk_buff *skb;
	bool is_packed;	   /* one of several: the others must not be read for it */
	__u32 start;	   /* in the skb */
	__u32 length;	   /* that can be read */
	__u32 wire_length; /* that there were */
};

static __always_inline struct packet_octets octets_of(struct __sk_buff *skb)
{
	struct packet_octets from = {.skb = skb};

	return from;
}

/* 0, or negative where the packet ends before. */
static __always_inline long load_octets(struct packet_octets from, __u32 offset, void *to,
					__u32 length)
{
	if (from.is_packed) {
		if (offset > from.length || length > from.length - offset)
			return -1;
		offset += from.start;
	}
	return bpf_skb_load_bytes(from.skb, offset, to, length);
}

/* From the packet's beginning, on the wire. */
static __always_inline __u32 octets_on_wire(struct packet_octets from)
{
	return from.is_packed ? from.wire_length : from.skb->len;
}

#endif
