/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Which packets are metered, where not all are: between the parser and the flow cache. Without
 * sampling the verifier removes the call (docs/adr/0011-sampling.md).
 */
#ifndef PROCFLOW_SAMPLING_H
#define PROCFLOW_SAMPLING_H

#include "packet.h"
#include "sip_hash.h"

/*
 * Random sampling draws for each segment; beyond so many, one draw decides on several in a row,
 * which leaves each its probability. 64 KiB in segments of Ethernet's size are 45.
 */
#define MAX_DRAWS 512

/* For SAMPLING_COUNT: wire packets seen by all CPUs. Nothing else is in its page. */
__u64 packets_seen;

/* How many of an skb's segments are metered; they differ only in that the last one is shorter. */
struct selection {
	__u32 segments;
	bool has_last;
};

static __always_inline struct selection select_by_count(__u32 segments)
{
	__u64 interval = meter_settings.sampling_interval;
	__u64 before = __sync_fetch_and_add(&packets_seen, segments);
	__u64 after = before + segments;
	struct selection selection = {
		.segments = after / interval - before / interval,
		.has_last = after % interval == 0,
	};

	return selection;
}

/* 64 random bits against the threshold; the lower half of them is seldom needed. */
static __always_inline __u32 is_below(__u64 threshold)
{
	__u32 upper = bpf_get_prandom_u32();

	if (upper != threshold >> 32)
		return upper < threshold >> 32;
	return bpf_get_prandom_u32() < (__u32)threshold;
}

/* Counts what is not hit: from a number that the verifier knows, it would follow every outcome. */
static __always_inline struct selection select_at_random(__u32 segments)
{
	__u64 threshold = ~0ULL / meter_settings.sampling_interval;
	__u32 together = segments / MAX_DRAWS + 1; /* and the last draw decides on the rest */
	__u32 draws = (segments + together - 1) / together, misses = draws, hit = 0;
	struct selection selection;

	for (__u32 i = 0; i < MAX_DRAWS && i < draws; i++) {
		hit = is_below(threshold);
		misses -= hit;
	}
	selection.has_last = hit;
	selection.segments = (draws - misses) * together - (hit ? draws * together - segments : 0);
	return selection;
}

/* One end of a connection. */
struct flow_end {
	__u64 address[2];
	__u16 port;
};

static __always_inline bool is_greater(const struct flow_end *a, const struct flow_end *b)
{
	if (a->address[0] != b->address[0])
		return a->address[0] > b->address[0];
	if (a->address[1] != b->address[1])
		return a->address[1] > b->address[1];
	return a->port > b->port;
}

/*
 * A hash of both ends, the smaller one first, so that both directions give the same. A request of
 * ICMP and its reply differ in the type, which stands in the place of a port: only the identifier
 * counts.
 */
static __always_inline __u64 hash_connection(const struct packet *p)
{
	struct flow_end source = {.port = p->source_port}, destination = source, swapped;
	struct sip_state s = sip_begin();

	__builtin_memcpy(source.address, p->source_address, ADDRESS_LENGTH);
	__builtin_memcpy(destination.address, p->destination_address, ADDRESS_LENGTH);
	if (!is_icmp(p->protocol))
		destination.port = p->destination_port;
	if (is_greater(&source, &destination)) {
		swapped = source;
		source = destination;
		destination = swapped;
	}
	sip_word(&s, source.address[0]);
	sip_word(&s, source.address[1]);
	sip_word(&s, destination.address[0]);
	sip_word(&s, destination.address[1]);
	sip_word(&s, source.port | (__u64)destination.port << 16 | (__u64)p->protocol << 32);
	return sip_end(&s, 5 * sizeof(__u64));
}

static __always_inline struct selection select_by_flow(const struct packet *p)
{
	bool is_selected = hash_connection(p) < ~0ULL / meter_settings.sampling_interval;
	struct selection selection = {
		.segments = is_selected ? p->segments : 0,
		.has_last = is_selected,
	};

	return selection;
}

/* Leaves of the packet what the selection has of it. */
static __always_inline void narrow(struct packet *p, struct selection selection)
{
	__u32 before_last = p->segments - 1;
	__u64 each = p->max_length, last;

	if (each * before_last > p->octets) /* whoever made the packet miscounted its segments */
		each = p->octets / p->segments;
	last = p->octets - each * before_last;
	p->segments = selection.segments;
	p->octets = each * selection.segments;
	if (selection.has_last) {
		p->octets += last - each;
		if (selection.segments == 1)
			p->max_length = p->min_length;
		return;
	}
	p->min_length = p->max_length;
	if (p->protocol == IPPROTO_TCP) { /* only the last segment has them */
		p->tcp_flags &= ~(TCP_FIN | TCP_PSH);
		if (!(p->tcp_flags & TCP_RST))
			p->flags &= ~FLOW_ENDED;
	}
}

/*
 * Returns whether a packet is metered, and leaves of one that stands for several those that are.
 * After match_fragment, which must see all. A global function, to have a stack of its own.
 */
__noinline int sample_packet(struct packet *p)
{
	struct selection selection = {};
	__u32 segments;
	__u64 octets;

	if (!p)
		return false;
	segments = p->segments;
	octets = p->octets;
	switch (meter_settings.sampling) {
	case SAMPLING_COUNT:
		selection = select_by_count(segments);
		break;
	case SAMPLING_RANDOM:
		selection = select_at_random(segments);
		break;
	case SAMPLING_FLOW:
		selection = select_by_flow(p);
		break;
	}
	if (!selection.segments) {
		count_not_sampled(segments, octets);
		return false;
	}
	if (selection.segments < segments) {
		narrow(p, selection);
		count_not_sampled(segments - p->segments, octets - p->octets);
	}
	return true;
}

#endif
