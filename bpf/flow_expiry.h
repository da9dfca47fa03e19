/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Expiry: an iterator walks the flow cache in the kernel, and only expired flows reach user space.
 * How a page is taken without losing a packet stands at the top of flow_cache.h.
 */
#ifndef PROCFLOW_FLOW_EXPIRY_H
#define PROCFLOW_FLOW_EXPIRY_H

#include "flow_record.h"

#define ALIVE 0 /* no flowEndReason has this number */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct expiry_settings);
} expiry_settings SEC(".maps");

/* @tcp_flags: of the page that is asked about */
static __always_inline enum idle_timeout idle_timeout_of(__u8 protocol, __u32 tcp_flags)
{
	switch (protocol) {
	case IPPROTO_TCP:
		if (tcp_flags & TCP_RST)
			return IDLE_TCP_RST;
		return tcp_flags & TCP_FIN ? IDLE_TCP_FIN : IDLE_TCP;
	case IPPROTO_UDP:
		return IDLE_UDP;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return IDLE_ICMP;
	default:
		return IDLE_GENERAL;
	}
}

/* When the flow had its last packet, as far as the entry tells; 0 where the first one is being
 * written. */
static __always_inline __u64 last_seen_ns(const struct flow_entry *entry, __u64 state)
{
	const struct flow_page *page = state & STATE_PAGE ? &entry->pages[1] : &entry->pages[0];

	return state & STATE_PACKETS ? page->last_ns : entry->turned_ns;
}

/* Why the flow ends now, or ALIVE. */
static __always_inline __u32 end_reason(const struct flow_entry *entry, __u8 protocol,
					const struct flow_page *page, __u64 state,
					const struct expiry_settings *settings, __u64 now)
{
	__u64 last_ns = last_seen_ns(entry, state), first_ns = page->first_ns, quiet_ns;
	enum idle_timeout timeout;

	if (settings->scope == SWEEP_ALL)
		return FLOW_END_FORCED;
	if (!last_ns ||
	    (state & STATE_PACKETS && !first_ns)) /* its first packet is being written */
		return ALIVE;
	quiet_ns = now > last_ns ? now - last_ns : 0;
	timeout = idle_timeout_of(protocol, state & STATE_PACKETS ? page->tcp_flags : 0);
	if (quiet_ns >= settings->idle_timeout_ns[timeout])
		return timeout == IDLE_TCP_RST || timeout == IDLE_TCP_FIN ? FLOW_END_DETECTED
									  : FLOW_END_IDLE_TIMEOUT;
	if (last_ns <= settings->early_until_ns)
		return FLOW_END_LACK_OF_RESOURCES;
	if (state & STATE_PACKETS && now > first_ns &&
	    now - first_ns >= settings->active_timeout_ns)
		return FLOW_END_ACTIVE_TIMEOUT;
	return ALIVE;
}

/*
 * Takes the entry's page if the flow is to be exported. Afterwards taken_state is 0 where it was
 * not, and the entry is either on its other page or dead.
 */
static __always_inline void take_page(struct flow_entry *entry, __u8 protocol,
				      const struct expiry_settings *settings, __u64 now)
{
	__u64 state = *(volatile __u64 *)&entry->state;
	const struct flow_page *page = state & STATE_PAGE ? &entry->pages[1] : &entry->pages[0];
	__u32 reason = end_reason(entry, protocol, page, state, settings, now);

	if (reason == ALIVE)
		return;
	if (reason == FLOW_END_ACTIVE_TIMEOUT) {
		/* Only a sweep changes the page bit, so the new state is known. */
		entry->taken_state =
			__sync_lock_test_and_set(&entry->state, (state & STATE_PAGE) ^ STATE_PAGE);
		entry->turned_ns = now;
	} else {
		/* A packet that came after the decision keeps the flow alive. */
		if (__sync_val_compare_and_swap(&entry->state, state, state | STATE_DEAD) != state)
			return;
		entry->taken_state = state | STATE_DEAD;
	}
	entry->taken_reason = reason;
}

/* Adding nothing is a full barrier: the counters are read after the writers' number. */
static __always_inline bool page_is_complete(struct flow_page *page, __u64 taken_state)
{
	return __sync_fetch_and_add(&page->octets_and_writers, 0) >> WRITER_SHIFT ==
	       taken_state >> WRITER_SHIFT;
}

enum take_result {
	NOTHING_TAKEN,
	WRITERS_AT_WORK,
	RECORD_WRITTEN,
	ONLY_REMOVED, /* the page was empty: there is nothing to export */
};

/* Fills all of the record but what comes from the key. */
static __always_inline enum take_result take_record(struct flow_entry *entry, __u8 protocol,
						    const struct expiry_settings *settings,
						    __u64 now, struct flow_record *record)
{
	struct flow_page *page;

	if (!entry->taken_state)
		take_page(entry, protocol, settings, now);
	if (!entry->taken_state)
		return NOTHING_TAKEN;
	if (!(entry->taken_state & STATE_PACKETS))
		return ONLY_REMOVED;
	page = entry->taken_state & STATE_PAGE ? &entry->pages[1] : &entry->pages[0];
	if (!page_is_complete(page, entry->taken_state))
		return WRITERS_AT_WORK;
	fill_from_page(record, entry, page, entry->taken_state & STATE_PACKETS,
		       entry->taken_reason);
	return RECORD_WRITTEN;
}

/* As the flow is now. Packets that come meanwhile may be in some of its fields and not in others.
 */
static __always_inline enum take_result peek_record(struct flow_entry *entry,
						    struct flow_record *record)
{
	__u64 state = *(volatile __u64 *)&entry->state;
	const struct flow_page *page = state & STATE_PAGE ? &entry->pages[1] : &entry->pages[0];

	if (!(state & STATE_PACKETS) || state & STATE_DEAD || !page->first_ns)
		return NOTHING_TAKEN;
	fill_from_page(record, entry, page, state & STATE_PACKETS, 0);
	return RECORD_WRITTEN;
}

static __always_inline int write_last_seen(struct seq_file *seq, const struct flow_entry *entry)
{
	__u64 state = *(volatile __u64 *)&entry->state, last_ns = last_seen_ns(entry, state);

	if (!(state & STATE_DEAD) && last_ns)
		bpf_seq_write(seq, &last_ns, sizeof(last_ns)); /* full: read() comes again */
	return 0;
}

/*
 * After the record is safe. Returns whether the entry is dead and to be deleted. When the output
 * buffer is full the program runs again for the same entry, so nothing may change before.
 */
static __always_inline bool release_page(struct flow_entry *entry)
{
	if (entry->taken_state & STATE_DEAD) {
		/* Should deleting fail, the next sweep must not export it again. */
		entry->taken_state &= ~STATE_PACKETS;
		return true;
	}
	clear_page(entry->taken_state & STATE_PAGE ? &entry->pages[1] : &entry->pages[0]);
	entry->taken_state = 0;
	return false;
}

#endif
