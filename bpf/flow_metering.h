/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The way of a packet through the flow cache, for either capture mode. The file that includes this
 * says how a packet's processes are found: by which senders and receivers (flow_owner.h).
 */
#ifndef PROCFLOW_FLOW_METERING_H
#define PROCFLOW_FLOW_METERING_H

#include "flow_owner.h"
#include "flow_record.h"
#include "meter_settings.h"

#define E2BIG 7

#define FRAGMENT_LIFETIME_NS (30 * 1000 * 1000 * 1000LL) /* net.ipv4.ipfrag_time's default */

/* What did not fit into the cache: single-packet records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} flow_overflow SEC(".maps");

/*
 * For the owners of a packet without an entry, which are too large for the stack. Several, because
 * the packet programs of sockets interrupt each other.
 */
struct overflow_scratch {
	__u32 busy;
	__u32 padding;
	struct flow_owners owners;
};

#define OVERFLOW_SCRATCHES 4

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OVERFLOW_SCRATCHES);
	__type(key, __u32);
	__type(value, struct overflow_scratch);
} overflow_scratches SEC(".maps");

struct fragment_key {
	__u8 source_address[ADDRESS_LENGTH];
	__u8 destination_address[ADDRESS_LENGTH];
	__u32 id;
	__u32 netns;
	__u32 interface_index;
	__u8 direction;
	__u8 protocol; /* IPv4 only: in IPv6 it can differ between fragments of one packet */
	__u8 padding[2];
};

struct fragment_ports {
	__u64 seen_ns;
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 padding[3];
};

/* From a first fragment to those that follow it and carry no ports. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* A global function to keep its key from the stack of the packet programs. */
__noinline int match_fragment(struct packet *p, __u8 direction, __u64 now)
{
	struct fragment_key key = {};
	struct fragment_ports *first;

	if (!p)
		return 0;

	__builtin_memcpy(key.source_address, p->source_address, ADDRESS_LENGTH);
	__builtin_memcpy(key.destination_address, p->destination_address, ADDRESS_LENGTH);
	key.id = p->fragment_id;
	key.netns = p->netns;
	key.interface_index = p->interface_index;
	key.direction = direction;
	key.protocol = p->ip_version == 4 ? p->protocol : 0;
	if (p->first_fragment) {
		struct fragment_ports ports = {
			.seen_ns = now,
			.source_port = p->source_port,
			.destination_port = p->destination_port,
			.protocol = p->protocol,
		};

		bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
		return 0;
	}
	first = bpf_map_lookup_elem(&fragments, &key);
	/* Signed: the times of a capture file can go back. */
	if (!first || (__s64)(now - first->seen_ns) > FRAGMENT_LIFETIME_NS) {
		count(FRAGMENTS_UNMATCHED, 1);
		p->ports_unknown = true;
		return 0;
	}
	p->source_port = first->source_port;
	p->destination_port = first->destination_port;
	p->protocol = first->protocol;
	return 0;
}

/* NULL when all are in use, or there are none. */
static __always_inline struct overflow_scratch *claim_scratch(void)
{
	for (__u32 i = 0; i < OVERFLOW_SCRATCHES; i++) {
		/* Not &i: up to kernel 6.12 the verifier forgets what a helper is given to read. */
		__u32 key = i;
		struct overflow_scratch *scratch = bpf_map_lookup_elem(&overflow_scratches, &key);

		if (scratch && !__sync_lock_test_and_set(&scratch->busy, 1)) {
			__builtin_memset(&scratch->owners, 0, sizeof(scratch->owners));
			return scratch;
		}
	}
	return NULL;
}

static __always_inline void release_scratch(struct overflow_scratch *scratch)
{
	*(volatile __u32 *)&scratch->busy = 0;
}

/* The packet as a record of its own, when the cache has no place for it. */
static __always_inline struct flow_record *begin_overflow(const struct packet *p, __u64 now)
{
	struct flow_record *record;

	record = bpf_ringbuf_reserve(&flow_overflow, sizeof(*record), 0);
	if (!record) {
		count(LOST_PACKETS, p->segments);
		count(LOST_OCTETS, p->octets);
		return NULL;
	}
	__builtin_memset(record, 0, sizeof(*record));
	fill_from_packet(record, p, now);
	record->source.reason = record->destination.reason = REASON_NOT_SEEN;
	count(SINGLE_PACKET_RECORDS, 1);
	return record;
}

/*
 * The way of a packet through the cache, once for each map. Macros, because the verifier wants to
 * see which map a lookup goes to, and the keys differ in type. Global functions, which are
 * verified once by themselves: inlined behind the parser, loading takes nine times as long.
 */
#define METER_OVERFLOW(name, key_type, version, attribute)                                         \
	__noinline int name(struct __sk_buff *skb, struct packet *p, key_type *key, __u64 now)     \
	{                                                                                          \
		struct overflow_scratch *scratch;                                                  \
		struct flow_record *record;                                                        \
                                                                                                   \
		if (!p || !key)                                                                    \
			return 0;                                                                  \
		scratch = claim_scratch();                                                         \
		if (scratch)                                                                       \
			attribute(skb, p, &scratch->owners, key, now);                             \
		record = begin_overflow(p, now);                                                   \
		if (record) {                                                                      \
			FILL_FROM_KEY(record, key, version);                                       \
			if (scratch)                                                               \
				fill_owners(record, &scratch->owners);                             \
			fill_icmp(record);                                                         \
			bpf_ringbuf_submit(record, 0);                                             \
		}                                                                                  \
		if (scratch)                                                                       \
			release_scratch(scratch);                                                  \
		return record != NULL;                                                             \
	}

#define METER_IN(name, map, key_type, version, attribute)                                          \
	METER_OVERFLOW(name##_overflow, key_type, version, attribute)                              \
                                                                                                   \
	__noinline int name(struct __sk_buff *skb, struct packet *p, __u8 direction, __u64 now)    \
	{                                                                                          \
		struct flow_entry *entry;                                                          \
		long error = 0;                                                                    \
		key_type key;                                                                      \
                                                                                                   \
		if (!p)                                                                            \
			return 0;                                                                  \
		MAKE_KEY(&key, p, direction);                                                      \
		if (meter_settings.track_process)                                                  \
			ADD_PID(&key, attribute##_pid(skb, p, direction));                         \
		/* Once more, if the entry was another CPU's, or a dead one that is gone by now.   \
		 */                                                                                \
		for (int i = 0; i < 2 && error != -E2BIG; i++) {                                   \
			entry = bpf_map_lookup_elem(&map, &key);                                   \
			if (!entry) {                                                              \
				error = bpf_map_update_elem(&map, &key, &empty_entry,              \
							    BPF_NOEXIST);                          \
				entry = bpf_map_lookup_elem(&map, &key);                           \
				if (!error) {                                                      \
					count(FLOWS_CREATED, 1);                                   \
					if (entry)                                                 \
						begin_entry(entry, p);                             \
				}                                                                  \
			}                                                                          \
			if (entry && count_on_entry(entry, p, now)) {                              \
				if (owners_are_due(skb, entry, p, direction, now))                 \
					attribute(skb, p, &entry->owners, &key, now);              \
				return 0;                                                          \
			}                                                                          \
		}                                                                                  \
		if (name##_overflow(skb, p, &key, now) && error == -E2BIG)                         \
			count(CACHE_FULL_PACKETS, p->segments);                                    \
		return 0;                                                                          \
	}

#endif
