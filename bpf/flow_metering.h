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

#define E2BIG  7
#define EEXIST 17

#define FRAGMENT_LIFETIME_NS (30 * 1000 * 1000 * 1000LL) /* net.ipv4.ipfrag_time's default */

/* What did not fit into the cache: single-packet records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} flow_overflow SEC(".maps");

/*
 * What is too large for the stack: a packet as it was parsed, and an entry before it goes into the
 * cache. Several, because the packet programs of sockets interrupt each other.
 */
struct metering {
	__u32 busy;
	__u32 slot;	 /* its own */
	__u32 others_cb; /* what another program left where the slot is handed over */
	__u8 direction;
	bool ethernet;
	struct packet packet;
	struct flow_entry entry;
};

#define METERINGS 4

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, METERINGS);
	__type(key, __u32);
	__type(value, struct metering);
} meterings SEC(".maps");

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

static __always_inline struct metering *metering_of(__u32 slot)
{
	/* Not &i of a loop: up to kernel 6.12 the verifier forgets what a helper is given to read.
	 */
	return bpf_map_lookup_elem(&meterings, &slot);
}

static __always_inline void count_lost(struct __sk_buff *skb)
{
	count(LOST_PACKETS, skb->gso_segs ?: 1);
	count(LOST_OCTETS, skb->len);
}

/* NULL when all are in use, which is never seen, or there are none. */
static __always_inline struct metering *begin_metering(struct __sk_buff *skb)
{
	for (__u32 i = 0; i < METERINGS; i++) {
		struct metering *m = metering_of(i);

		if (m && !__sync_lock_test_and_set(&m->busy, 1)) {
			m->slot = i;
			__builtin_memset(&m->packet, 0, sizeof(m->packet));
			return m;
		}
	}
	count_lost(skb);
	return NULL;
}

static __always_inline void end_metering(struct metering *m)
{
	*(volatile __u32 *)&m->busy = 0;
}

/*
 * The long way of a packet is a program of its own: the kernel verifies it once for both
 * directions, and the short way need not share its stack. The loader puts it here.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} long_way SEC(".maps");

#define SLOT_CB 4 /* of the words that an skb has for programs */

/* Returns only where the packet cannot be metered, which is counted. */
static __always_inline void go_long_way(struct __sk_buff *skb, __u8 direction, bool ethernet)
{
	struct metering *m = begin_metering(skb);

	if (!m)
		return;
	m->direction = direction;
	m->ethernet = ethernet;
	m->others_cb = skb->cb[SLOT_CB];
	skb->cb[SLOT_CB] = m->slot;
	bpf_tail_call(skb, &long_way, 0);
	skb->cb[SLOT_CB] = m->others_cb;
	count_lost(skb);
	end_metering(m);
}

/* What the program of the long way begins with; it ends with end_metering(). */
static __always_inline struct metering *arrive_on_long_way(struct __sk_buff *skb)
{
	struct metering *m = metering_of(skb->cb[SLOT_CB]);

	if (m)
		skb->cb[SLOT_CB] = m->others_cb;
	return m;
}

/*
 * The way of a packet through the cache, once for each map. Macros, because the verifier wants to
 * see which map a lookup goes to, and the keys differ in type. Global functions, which are
 * verified once by themselves: inlined behind the parser, loading takes nine times as long.
 */

/* The packet as a record of its own, when the cache has no place for it. */
#define METER_OVERFLOW(name, key_type, version)                                                    \
	__noinline int name(struct metering *m, key_type *packet_key)                              \
	{                                                                                          \
		struct flow_record *record;                                                        \
		struct end_owner *far = NULL;                                                      \
		key_type own_key, *key = &own_key; /* up to kernel 6.1 a map takes no other */     \
                                                                                                   \
		if (!m || !packet_key)                                                             \
			return 0;                                                                  \
		own_key = *packet_key;                                                             \
		record = bpf_ringbuf_reserve(&flow_overflow, sizeof(*record), 0);                  \
		if (!record) {                                                                     \
			count(LOST_PACKETS, m->packet.segments);                                   \
			count(LOST_OCTETS, m->packet.octets);                                      \
			return 0;                                                                  \
		}                                                                                  \
		__builtin_memset(record, 0, sizeof(*record));                                      \
		fill_from_entry(record, &m->entry, m->entry.state);                                \
		record->end_reason = FLOW_END_LACK_OF_RESOURCES;                                   \
		FILL_FROM_KEY(record, key, version);                                               \
		if (m->packet.flags & FLOW_LOOPBACK)                                               \
			far = far_owner_v##version(key, false);                                    \
		fill_owners(record, &m->entry, far);                                               \
		if (far) /* no entry will be deleted with it */                                    \
			forget_far_owner_v##version(key);                                          \
		fill_icmp(record);                                                                 \
		bpf_ringbuf_submit(record, 0);                                                     \
		count(SINGLE_PACKET_RECORDS, 1);                                                   \
		return 1;                                                                          \
	}

/*
 * A new flow goes into the cache with its first packet and its processes, as a whole. Once more, if
 * another CPU was faster, or if a dead entry stood there that is gone by now.
 * @slot: of the packet's metering; not its address, which up to kernel 6.1 no map takes as a value
 */
#define METER_IN(name, map, key_type, version, attribute)                                          \
	METER_OVERFLOW(name##_overflow, key_type, version)                                         \
                                                                                                   \
	__noinline int name(struct __sk_buff *skb, __u32 slot, __u8 direction, __u64 now)          \
	{                                                                                          \
		struct metering *m = metering_of(slot);                                            \
		struct end_owner *far = NULL;                                                      \
		struct flow_entry *entry;                                                          \
		struct packet *p;                                                                  \
		key_type key;                                                                      \
		long error;                                                                        \
                                                                                                   \
		if (!m)                                                                            \
			return 0;                                                                  \
		p = &m->packet;                                                                    \
		MAKE_KEY(&key, p, direction);                                                      \
		if (meter_settings.track_process)                                                  \
			ADD_PID(&key, attribute##_pid(skb, p, direction));                         \
		if (p->flags & FLOW_LOOPBACK)                                                      \
			far = far_owner_v##version(&key, true);                                    \
		entry = bpf_map_lookup_elem(&map, &key);                                           \
		if (entry && count_on_entry(entry, p, now)) {                                      \
			if (owners_are_due(skb, p, entry, far, direction, now))                    \
				attribute(skb, p, &entry->near, far, &key, now);                   \
			return 0;                                                                  \
		}                                                                                  \
		begin_entry(&m->entry, p, now);                                                    \
		attribute(skb, p, &m->entry.near, far, &key, now);                                 \
		error = bpf_map_update_elem(&map, &key, &m->entry, BPF_NOEXIST);                   \
		if (!error) {                                                                      \
			count(FLOWS_CREATED, 1);                                                   \
			if (p->flags & FLOW_LOOPBACK && !far)                                      \
				count(OWNERS_NOT_STORED, 1);                                       \
			return 0;                                                                  \
		}                                                                                  \
		if (error == -EEXIST) {                                                            \
			entry = bpf_map_lookup_elem(&map, &key);                                   \
			if (entry && count_on_entry(entry, p, now))                                \
				return 0;                                                          \
		}                                                                                  \
		if (name##_overflow(m, &key) && error == -E2BIG)                                   \
			count(CACHE_FULL_PACKETS, p->segments);                                    \
		return 0;                                                                          \
	}

#endif
