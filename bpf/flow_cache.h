/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A flow in the cache, and how its counters are taken out without losing a packet and without a
 * lock (docs/adr/0018-one-word-counters.md).
 *
 * `state` holds packets and octets in one word, so that a packet counts with one atomic addition
 * and a sweep takes both with one compare-and-exchange, which fails if a packet came in between.
 * What else a packet tells is noted before it is counted: whoever takes the counters takes that
 * too. The traits have two pages, because they cannot be taken and cleared in one step: `state`
 * says which one is written, the other one is clear.
 */
#ifndef PROCFLOW_FLOW_CACHE_H
#define PROCFLOW_FLOW_CACHE_H

#include "flow_key.h"
#include "process_owner.h"

/* entry.state: packets (24 bit) | page of traits | dead | being emptied | octets (37 bit) */
#define PACKETS_SHIFT	40
#define ONE_PACKET	(1ULL << PACKETS_SHIFT)
#define STATE_PAGE	(1ULL << 39)
#define STATE_DEAD	(1ULL << 38)
#define STATE_EMPTYING	(1ULL << 37)
#define STATE_OCTETS	(STATE_EMPTYING - 1)
#define STATE_PACKETS	(~(ONE_PACKET - 1))
#define STATE_COUNTS	(STATE_PACKETS | STATE_OCTETS)
#define STATE_HALF_FULL (1ULL << 63 | 1ULL << 36)

#define TRAITS_ATTEMPTS 8

/* entry.tos_and_tags */
#define OUTER_TAG_SHIFT 8
#define INNER_TAG_SHIFT 20

/*
 * A page of traits: lanes that only grow, so that a clear one is 0. Largest length | inverted
 * smallest length | largest TTL | inverted smallest TTL | enum flow_flag and TCP flags.
 */
#define LANE_MAX_LENGTH	 0x000000000000ffffULL
#define LANE_MIN_LENGTH	 0x00000000ffff0000ULL
#define LANE_MAX_TTL	 0x000000ff00000000ULL
#define LANE_MIN_TTL	 0x0000ff0000000000ULL
#define MIN_LENGTH_SHIFT 16
#define MAX_TTL_SHIFT	 32
#define MIN_TTL_SHIFT	 40
#define FLAGS_SHIFT	 48
#define FLOW_FLAGS_SHIFT 12 /* in the lane of flags */

/* The two ends of a flow; the other end of `side` is `!side`. */
enum flow_side {
	SOURCE = 0,
	DESTINATION = 1,
};

/* In units of 2^20 ns, about a millisecond; differences are right for 25 days. */
#define COARSE_SHIFT 20

/* Whose one end of a flow is. */
struct end_owner {
	struct guarded_owner owner;
	__u32 due;	/* coarse time at which it is looked for again */
	__u32 received; /* coarse time at which a socket was last found to receive the flow */
};

/*
 * The order matters: the kernel puts 80 octets before the value of an IPv4 flow, so that the first
 * 48 share a line of the CPU's cache with its key. They are what every packet reads or writes, and
 * what a sweep reads of a flow that goes on.
 */
struct flow_entry {
	__u64 state;
	__u64 last_ns;
	__u64 traits[2];
	__u32 tick;	       /* of the kernel's timer, at which last_ns was written */
	__u32 first_coarse;    /* first_ns in coarse time: all that a sweep needs to see */
	struct end_owner near; /* begins with the cookie of its socket */
	__u64 first_ns;
	__u64 more_packets; /* beside those in `state` */
	__u64 more_octets;
	__u8 macs[2 * MAC_LENGTH];
	__u32 tos_and_tags; /* TOS (8 bit) | outer VLAN id (12 bit) | inner VLAN id (12 bit) */
};

/* With what the kernel puts before them, entries of IPv6 fill its 256 octets. */
_Static_assert(sizeof(struct flow_entry) == 152, "flow_entry");
_Static_assert(__builtin_offsetof(struct flow_entry, near.owner.owner) <= 56, "flow_entry");

#define DEFAULT_MAX_FLOWS 65536 /* the loader sets what the user wants */

/* Entries are allocated as flows appear: a quiet host does not pay for max_entries. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEFAULT_MAX_FLOWS);
	__type(key, struct flow_key_v4);
	__type(value, struct flow_entry);
} flows_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEFAULT_MAX_FLOWS);
	__type(key, struct flow_key_v6);
	__type(value, struct flow_entry);
} flows_v6 SEC(".maps");

static __always_inline __u32 coarse_time(__u64 ns)
{
	return ns >> COARSE_SHIFT;
}

static __always_inline __u64 counts_of(__u32 packets, __u64 octets)
{
	return (__u64)packets << PACKETS_SHIFT | octets;
}

/* @flags: TCP's and enum flow_flag */
static __always_inline __u64 traits_of(__u16 min_length, __u16 max_length, __u8 ttl, __u16 flags)
{
	return max_length | (__u64)(__u16)~min_length << MIN_LENGTH_SHIFT |
	       (__u64)ttl << MAX_TTL_SHIFT | (__u64)(__u8)~ttl << MIN_TTL_SHIFT |
	       (__u64)flags << FLAGS_SHIFT;
}

static __always_inline __u64 larger_lane(__u64 a, __u64 b, __u64 lane)
{
	return (a & lane) > (b & lane) ? a & lane : b & lane;
}

static __always_inline __u64 join_traits(__u64 a, __u64 b)
{
	return larger_lane(a, b, LANE_MAX_LENGTH) | larger_lane(a, b, LANE_MIN_LENGTH) |
	       larger_lane(a, b, LANE_MAX_TTL) | larger_lane(a, b, LANE_MIN_TTL) |
	       (a | b) >> FLAGS_SHIFT << FLAGS_SHIFT;
}

/* Global, as empty_state: verified once, and not on each way to it. */
__noinline int add_traits(__u64 *page, __u64 own)
{
	if (!page)
		return 0;
	for (int i = 0; i < TRAITS_ATTEMPTS; i++) {
		__u64 old = *(volatile __u64 *)page;

		if (__sync_val_compare_and_swap(page, old, join_traits(old, own)) == old)
			return 0;
	}
	return 0;
}

static __always_inline bool covers(__u64 old, __u64 own)
{
	return (own & LANE_MAX_LENGTH) <= (old & LANE_MAX_LENGTH) &&
	       (own & LANE_MIN_LENGTH) <= (old & LANE_MIN_LENGTH) &&
	       (own & LANE_MAX_TTL) <= (old & LANE_MAX_TTL) &&
	       (own & LANE_MIN_TTL) <= (old & LANE_MIN_TTL) && !((own & ~old) >> FLAGS_SHIFT);
}

/* Seldom does a packet add something: an exchange only then. */
static __always_inline void note_traits(__u64 *page, __u64 own)
{
	if (!covers(*(volatile __u64 *)page, own))
		add_traits(page, own);
}

static __always_inline __u64 *page_of(struct flow_entry *entry, __u64 state)
{
	return state & STATE_PAGE ? &entry->traits[1] : &entry->traits[0];
}

/*
 * Moves what is in `state` to where there is room for more, but one packet: none would mean that
 * the next one is the first. Meanwhile no sweep takes the counters, and packets go on adding to the
 * half that is left.
 */
__noinline int empty_state(struct flow_entry *entry)
{
	__u64 state, moved;

	if (!entry)
		return 0;
	state = __sync_fetch_and_or(&entry->state, STATE_EMPTYING);
	if (state & (STATE_EMPTYING | STATE_DEAD))
		return 0;
	moved = state >= ONE_PACKET ? (state & STATE_COUNTS) - ONE_PACKET : 0;
	entry->more_packets += moved >> PACKETS_SHIFT;
	entry->more_octets += moved & STATE_OCTETS;
	__sync_fetch_and_add(&entry->state, -(moved | STATE_EMPTYING));
	return 0;
}

static __always_inline void note_first(struct flow_entry *entry, __u64 now)
{
	entry->first_ns = now;
	entry->first_coarse = coarse_time(now);
}

/*
 * Counts what was noted; false when the entry is dead and nothing was counted.
 * @seen: the state by which it was noted
 */
static __always_inline bool add_counts(struct flow_entry *entry, __u64 seen, __u64 counts,
				       __u64 traits, __u64 now)
{
	__u64 before = __sync_fetch_and_add(&entry->state, counts);

	if (before & STATE_DEAD)
		return false;
	if ((before ^ seen) & STATE_PAGE) { /* a sweep came in between */
		note_first(entry, now);
		note_traits(page_of(entry, before), traits);
	}
	if ((before + counts) & STATE_HALF_FULL)
		empty_state(entry);
	return true;
}

/* The first packet since the counters were taken, or one of a capture file, whose time can go back.
 */
static __always_inline void note_time(struct flow_entry *entry, __u64 seen, __u64 now)
{
	bool is_first = !(seen & STATE_COUNTS);

	if (is_first || entry->first_ns > now)
		note_first(entry, now);
	if (is_first || entry->last_ns < now)
		entry->last_ns = now;
}

static __always_inline __u64 traits_of_packet(const struct packet *p)
{
	return traits_of(p->min_length, p->max_length, p->ttl,
			 p->tcp_flags | p->flags << FLOW_FLAGS_SHIFT);
}

/* Counts a packet; false when the entry is dead and the packet was not counted. */
static __always_inline bool count_on_entry(struct flow_entry *entry, const struct packet *p,
					   __u64 now)
{
	__u64 seen = *(volatile __u64 *)&entry->state, traits = traits_of_packet(p);

	if (seen & STATE_DEAD)
		return false;
	note_time(entry, seen, now);
	note_traits(page_of(entry, seen), traits);
	return add_counts(entry, seen, counts_of(p->segments, p->octets), traits, now);
}

/* The entry of a flow with its first packet; its process is not known yet. */
static __always_inline void begin_entry(struct flow_entry *entry, const struct packet *p, __u64 now)
{
	__builtin_memset(entry, 0, sizeof(*entry));
	entry->state = counts_of(p->segments, p->octets);
	entry->traits[0] = traits_of_packet(p);
	note_first(entry, now);
	entry->last_ns = now;
	entry->tick = bpf_jiffies64();
	__builtin_memcpy(entry->macs, p->macs, sizeof(entry->macs));
	entry->tos_and_tags = p->tos | (__u32)p->vlan_id << OUTER_TAG_SHIFT |
			      (__u32)p->inner_vlan_id << INNER_TAG_SHIFT;
}

#endif
