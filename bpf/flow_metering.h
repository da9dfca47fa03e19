/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The way of a packet through the flow cache, for either capture mode. The file that includes this
 * says how a packet's processes are found, by find_owners and owners_are_due.
 */
#ifndef PROCFLOW_FLOW_METERING_H
#define PROCFLOW_FLOW_METERING_H

#include "flow_owner.h"
#include "flow_record.h"
#include "meter_settings.h"

#define E2BIG 7

#define FRAGMENT_LIFETIME_NS (30 * 1000 * 1000 * 1000ULL) /* net.ipv4.ipfrag_time's default */

/* What did not fit into the cache: single-packet records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} flow_overflow __weak SEC(".maps");

/* A new entry is too large for the stack; packet programs do not interrupt each other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_entry);
} new_entry __weak SEC(".maps");

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
} fragments __weak SEC(".maps");

static __always_inline void match_fragment(struct packet *p, __u8 direction, __u64 now)
{
	struct fragment_key key = {};
	struct fragment_ports *first;

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
		return;
	}
	first = bpf_map_lookup_elem(&fragments, &key);
	if (!first || now - first->seen_ns > FRAGMENT_LIFETIME_NS) {
		count(FRAGMENTS_UNMATCHED, 1);
		return;
	}
	p->source_port = first->source_port;
	p->destination_port = first->destination_port;
	p->protocol = first->protocol;
}

/* What is not known from the same connection's other direction on the same interface. */
#define ADOPT_FROM(map, key_type)                                                                  \
	static __always_inline void adopt_from_##map(struct flow_entry *entry,                     \
						     const key_type *key)                          \
	{                                                                                          \
		struct flow_entry *other_direction;                                                \
		key_type reverse = *key;                                                           \
                                                                                                   \
		__builtin_memcpy(reverse.source_address, key->destination_address,                 \
				 sizeof(key->source_address));                                     \
		__builtin_memcpy(reverse.destination_address, key->source_address,                 \
				 sizeof(key->source_address));                                     \
		reverse.source_port = key->destination_port;                                       \
		reverse.destination_port = key->source_port;                                       \
		/* Loopback is metered on its way out only, both directions. */                    \
		if (key->interface_index != LOOPBACK_IFINDEX)                                      \
			reverse.direction = !key->direction;                                       \
		other_direction = bpf_map_lookup_elem(&map, &reverse);                             \
		if (!other_direction)                                                              \
			return;                                                                    \
		adopt_reverse(entry, other_direction, SOURCE);                                     \
		adopt_reverse(entry, other_direction, DESTINATION);                                \
	}

ADOPT_FROM(flows_v4, struct flow_key_v4)
ADOPT_FROM(flows_v6, struct flow_key_v6)

/* The packet as a record of its own, when the cache has no place for it. */
static __always_inline struct flow_record *begin_overflow(struct flow_entry *entry,
							  const struct packet *p, bool cache_full)
{
	struct flow_record *record;

	record = bpf_ringbuf_reserve(&flow_overflow, sizeof(*record), 0);
	if (!record) {
		count(LOST_PACKETS, p->segments);
		count(LOST_OCTETS, p->octets);
		return NULL;
	}
	__builtin_memset(record, 0, sizeof(*record));
	fill_from_page(record, entry, &entry->pages[0], p->segments, FLOW_END_LACK_OF_RESOURCES);
	count(SINGLE_PACKET_RECORDS, 1);
	if (cache_full)
		count(CACHE_FULL_PACKETS, p->segments);
	return record;
}

/*
 * The way of a packet through the cache, once for each map. A macro, because the verifier wants to
 * see which map a lookup goes to, and the keys differ in type. A global function, which is
 * verified once by itself: inlined behind the parser, loading takes nine times as long.
 */
#define METER_IN(name, map, key_type, version)                                                     \
	__noinline int name(struct __sk_buff *skb, struct packet *p, __u8 direction, __u64 now)    \
	{                                                                                          \
		struct flow_entry *entry, *fresh;                                                  \
		struct flow_record *record;                                                        \
		key_type key;                                                                      \
		__u32 zero = 0;                                                                    \
		long error;                                                                        \
                                                                                                   \
		if (!p)                                                                            \
			return 0;                                                                  \
		MAKE_KEY(&key, p, direction);                                                      \
		entry = bpf_map_lookup_elem(&map, &key);                                           \
		if (entry && count_on_entry(entry, p, now)) {                                      \
			if (owners_are_due(skb, entry, p, direction, now) &&                       \
			    !find_owners(skb, entry, p, direction, now))                           \
				adopt_from_##map(entry, &key);                                     \
			return 0;                                                                  \
		}                                                                                  \
		fresh = bpf_map_lookup_elem(&new_entry, &zero);                                    \
		if (!fresh)                                                                        \
			return 0;                                                                  \
		begin_entry(fresh, p, now);                                                        \
		if (!find_owners(skb, fresh, p, direction, now))                                   \
			adopt_from_##map(fresh, &key);                                             \
		error = bpf_map_update_elem(&map, &key, fresh, BPF_NOEXIST);                       \
		if (!error) {                                                                      \
			count(FLOWS_CREATED, 1);                                                   \
			return 0;                                                                  \
		}                                                                                  \
		/* Another CPU made the entry, or the dead one still stands. */                    \
		entry = bpf_map_lookup_elem(&map, &key);                                           \
		if (entry && count_on_entry(entry, p, now))                                        \
			return 0;                                                                  \
		record = begin_overflow(fresh, p, error == -E2BIG);                                \
		if (!record)                                                                       \
			return 0;                                                                  \
		FILL_FROM_KEY(record, &key, version);                                              \
		fill_icmp(record);                                                                 \
		bpf_ringbuf_submit(record, 0);                                                     \
		return 0;                                                                          \
	}

#endif
