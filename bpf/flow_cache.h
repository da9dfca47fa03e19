/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * A flow in the cache, and how its counters are taken out without losing a packet and without a
 * lock (docs/adr/0003-exact-expiry.md).
 *
 * An entry has two pages of counters. `state` says which one is written; a packet announces itself
 * there with one atomic addition, whose result tells it the page, and signs off on that page with
 * another. Expiry turns the page with one atomic exchange; from then on nobody begins to write on
 * the old page, and when as many packets have signed off as had announced themselves, its counters
 * are complete and belong to the sweep. To remove an entry the sweep marks it dead with one
 * compare-and-exchange, which succeeds only if no packet came in between.
 */
#ifndef PROCFLOW_FLOW_CACHE_H
#define PROCFLOW_FLOW_CACHE_H

#include "flow_key.h"
#include "process_owner.h"

/*
 * entry.state: packets of the page | page in use | dead | packets announced, modulo 2^16.
 * page.octets_and_writers: octets | packets signed off, modulo 2^16.
 * "Packets announced" counts skbs, "packets" counts wire packets. The topmost field may wrap.
 */
#define WRITER_SHIFT   48
#define ONE_WRITER     (1ULL << WRITER_SHIFT)
#define STATE_DEAD     (1ULL << 47)
#define STATE_PAGE     (1ULL << 46)
#define STATE_PACKETS  (STATE_PAGE - 1)
#define OCTETS_MASK    (ONE_WRITER - 1)
#define RANGE_ATTEMPTS 8

/* Smallest value in the upper half, largest in the lower, so that both change in one exchange. */
#define RANGE_EMPTY 0xffff0000u

struct flow_page {
	__u64 octets_and_writers;
	__u64 first_ns;
	__u64 last_ns;
	__u32 length_range;
	__u32 ttl_range;
	__u32 tcp_flags;
	__u32 flags; /* enum flow_flag */
};

/* The two ends of a flow; the other end of `side` is `!side`. */
enum flow_side {
	SOURCE = 0,
	DESTINATION = 1,
};

struct flow_owners {
	struct guarded_owner ends[2]; /* by enum flow_side */
	__u64 checked_ns;
	__u64 received_ns; /* when a socket was last found to receive it */
};

struct flow_entry {
	__u64 state;
	struct flow_page pages[2];
	struct flow_owners owners;
	/* The sweep's own: a page that was turned and waits for its last writers. */
	__u64 taken_state; /* 0: none */
	__u64 turned_ns;
	__u32 taken_reason;
	__u16 vlan_id;
	__u16 inner_vlan_id;
	__u8 macs[2 * MAC_LENGTH];
	__u8 tos;
	__u8 padding[3];
};

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

/* How an entry begins. Kept constant: the place where one is filled would have to be no other's. */
static const struct flow_entry empty_entry = {
	.pages =
		{
			{.length_range = RANGE_EMPTY, .ttl_range = RANGE_EMPTY},
			{.length_range = RANGE_EMPTY, .ttl_range = RANGE_EMPTY},
		},
};

static __always_inline void clear_page(struct flow_page *page)
{
	__builtin_memset(page, 0, sizeof(*page));
	page->length_range = RANGE_EMPTY;
	page->ttl_range = RANGE_EMPTY;
}

/* Widens a range; an exchange only where the value is outside, which is seldom. */
static __always_inline void extend_range(__u32 *range, __u16 least, __u16 most)
{
	for (int i = 0; i < RANGE_ATTEMPTS; i++) {
		__u32 old = *(volatile __u32 *)range;
		__u32 low = old >> 16, high = old & 0xffff;

		if (least >= low && most <= high)
			return;
		if (least < low)
			low = least;
		if (most > high)
			high = most;
		if (__sync_val_compare_and_swap(range, old, low << 16 | high) == old)
			return;
	}
}

/* Counts a packet; false when the entry is dead and the packet was not counted. */
static __always_inline bool count_on_entry(struct flow_entry *entry, const struct packet *p,
					   __u64 now)
{
	__u64 before = __sync_fetch_and_add(&entry->state, ONE_WRITER + p->segments);
	struct flow_page *page = before & STATE_PAGE ? &entry->pages[1] : &entry->pages[0];

	if (before & STATE_DEAD)
		return false;
	if (!(before & STATE_PACKETS) || page->first_ns > now) /* later: of a capture file */
		page->first_ns = now;
	if (page->last_ns < now)
		page->last_ns = now;
	extend_range(&page->length_range, p->min_length, p->max_length);
	extend_range(&page->ttl_range, p->ttl, p->ttl);
	if (p->tcp_flags & ~page->tcp_flags)
		__sync_fetch_and_or(&page->tcp_flags, p->tcp_flags);
	if (p->flags & ~page->flags)
		__sync_fetch_and_or(&page->flags, p->flags);
	/* The result is kept alive so that the fetching form is used: it is a full barrier. */
	before = __sync_fetch_and_add(&page->octets_and_writers, ONE_WRITER + p->octets);
	asm volatile("" ::"r"(before));
	return true;
}

/* What an entry has of its first packet alone. */
static __always_inline void begin_entry(struct flow_entry *entry, const struct packet *p)
{
	entry->vlan_id = p->vlan_id;
	entry->inner_vlan_id = p->inner_vlan_id;
	__builtin_memcpy(entry->macs, p->macs, sizeof(entry->macs));
	entry->tos = p->tos;
}

#endif
