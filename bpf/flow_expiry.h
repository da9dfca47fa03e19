/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Expiry: an iterator walks the flow cache in the kernel, and only expired flows reach user space.
 * How counters are taken without losing a packet stands at the top of flow_cache.h.
 */
#ifndef PROCFLOW_FLOW_EXPIRY_H
#define PROCFLOW_FLOW_EXPIRY_H

#include "flow_record.h"

#define ALIVE	       0 /* no flowEndReason has this number */
#define TURN_ATTEMPTS  8
#define CLOCK_INTERVAL 64 /* flows */

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

/* Reading the clock for each flow would be a fifth of the walk. */
static __always_inline __u64 sweep_time(struct expiry_settings *settings, __u64 flow_number)
{
	if (settings->now_ns)
		return settings->now_ns;
	if (flow_number % CLOCK_INTERVAL == 0 || !settings->clock_ns)
		settings->clock_ns = bpf_ktime_get_boot_ns();
	return settings->clock_ns;
}

/*
 * Whether the flow may have to end: what decides it for nearly all of a large cache, from one line
 * of the CPU's cache. Times of a capture file can be further apart than coarse time tells.
 */
static __always_inline bool may_end(struct flow_entry *entry, __u8 protocol,
				    const struct expiry_settings *settings, __u64 now)
{
	__u64 last_ns = entry->last_ns, state = entry->state;
	__u32 age = coarse_time(now) - entry->first_coarse + 1;
	__u16 flags = *page_of(entry, state) >> FLAGS_SHIFT;

	return settings->scope == SWEEP_ALL || settings->now_ns || state & STATE_DEAD ||
	       last_ns <= settings->early_until_ns ||
	       age >= settings->active_timeout_ns >> COARSE_SHIFT ||
	       (now > last_ns &&
		now - last_ns >= settings->idle_timeout_ns[idle_timeout_of(protocol, flags)]);
}

/* Why the flow ends now, or ALIVE. */
static __always_inline __u32 end_reason(const struct flow_record *record, __u8 protocol,
					const struct expiry_settings *settings, __u64 now)
{
	__u64 quiet_ns = now > record->last_ns ? now - record->last_ns : 0;
	enum idle_timeout timeout = idle_timeout_of(protocol, record->tcp_flags);

	if (settings->scope == SWEEP_ALL)
		return FLOW_END_FORCED;
	if (quiet_ns >= settings->idle_timeout_ns[timeout])
		return timeout == IDLE_TCP_RST || timeout == IDLE_TCP_FIN ? FLOW_END_DETECTED
									  : FLOW_END_IDLE_TIMEOUT;
	if (record->last_ns <= settings->early_until_ns)
		return FLOW_END_LACK_OF_RESOURCES;
	if (record->packets && now > record->first_ns &&
	    now - record->first_ns >= settings->active_timeout_ns)
		return FLOW_END_ACTIVE_TIMEOUT;
	return ALIVE;
}

enum take_result {
	NOTHING_TAKEN,
	TAKEN_ALIVE,
	TAKEN_DEAD, /* the entry is to be deleted; 0 packets: there is nothing to export */
};

/*
 * The packets go on to the other page. False where the counters are being changed: the next sweep
 * has them.
 */
static __always_inline bool turn_page(struct flow_entry *entry, struct flow_record *record,
				      __u64 state)
{
	for (int i = 0; i < TURN_ATTEMPTS; i++) {
		__u64 seen;

		/* The page that is not written; what a late writer left there is over. */
		*page_of(entry, state ^ STATE_PAGE) = 0;
		seen = __sync_val_compare_and_swap(&entry->state, state,
						   (state & STATE_PAGE) ^ STATE_PAGE);
		if (seen == state) {
			entry->more_packets = entry->more_octets = 0;
			return true;
		}
		if (seen & STATE_EMPTYING)
			return false;
		state = seen;
		fill_from_entry(record, entry, state);
	}
	return false;
}

/*
 * Takes what is to be exported of the entry, all in one step: nothing is left for a later one.
 * Fills all of the record but what comes from the key, and the owners.
 */
static __always_inline enum take_result take_record(struct flow_entry *entry, __u8 protocol,
						    const struct expiry_settings *settings,
						    __u64 now, struct flow_record *record)
{
	/* Adding nothing is a full barrier: all that was noted before is read after. */
	__u64 state = __sync_fetch_and_add(&entry->state, 0);
	__u32 reason;

	if (state & STATE_DEAD) /* deleting it has failed */
		return TAKEN_DEAD;
	fill_from_entry(record, entry, state);
	reason = end_reason(record, protocol, settings, now);
	if (reason == ALIVE)
		return NOTHING_TAKEN;
	record->end_reason = reason;
	if (state & STATE_EMPTYING ||
	    (reason == FLOW_END_ACTIVE_TIMEOUT && !turn_page(entry, record, state))) {
		count(EXPIRY_DEFERRED, 1);
		return NOTHING_TAKEN;
	}
	if (reason == FLOW_END_ACTIVE_TIMEOUT)
		return TAKEN_ALIVE;
	/* A packet that came after the decision keeps the flow alive. */
	if (__sync_val_compare_and_swap(&entry->state, state, state | STATE_DEAD) != state)
		return NOTHING_TAKEN;
	return TAKEN_DEAD;
}

/* As the flow is now. Packets that come meanwhile may be in some of its fields and not in others.
 */
static __always_inline bool peek_record(struct flow_entry *entry, struct flow_record *record)
{
	__u64 state = *(volatile __u64 *)&entry->state;

	fill_from_entry(record, entry, state);
	return record->packets && !(state & STATE_DEAD);
}

static __always_inline int write_last_seen(struct seq_file *seq, struct flow_entry *entry)
{
	__u64 state = *(volatile __u64 *)&entry->state, last_ns = entry->last_ns;

	if (!(state & STATE_DEAD))
		bpf_seq_write(seq, &last_ns, sizeof(last_ns)); /* full: read() comes again */
	return 0;
}

/* Before anything is taken: when the buffer is full the program runs again for the same entry. */
static __always_inline bool has_room(struct seq_file *seq)
{
	return seq->count + sizeof(struct flow_record) < seq->size;
}

#endif
