// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a packet becomes a flow: parse, find the flow, add the packet, and give a new flow its
 * process. At the end the iterators through which expired flows leave.
 */
#include "flow_expiry.h"
#include "flow_owner.h"

#define TC_ACT_UNSPEC (-1) /* go on with the next program: procflow only looks */
#define E2BIG	      7

#define FRAGMENT_LIFETIME_NS (30 * 1000 * 1000 * 1000ULL) /* net.ipv4.ipfrag_time's default */

char LICENSE[] SEC("license") = "GPL";

/* What did not fit into the cache: single-packet records. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} flow_overflow SEC(".maps");

/* A new entry is too large for the stack; packet programs do not interrupt each other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_entry);
} new_entry SEC(".maps");

const volatile struct meter_settings meter_settings SEC(".rodata.settings");

struct fragment_key {
	__u8 source_address[ADDRESS_LENGTH];
	__u8 destination_address[ADDRESS_LENGTH];
	__u32 id;
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

static __always_inline void match_fragment(struct packet *p, __u32 interface_index, __u8 direction,
					   __u64 now)
{
	struct fragment_key key = {};
	struct fragment_ports *first;

	__builtin_memcpy(key.source_address, p->source_address, ADDRESS_LENGTH);
	__builtin_memcpy(key.destination_address, p->destination_address, ADDRESS_LENGTH);
	key.id = p->fragment_id;
	key.interface_index = interface_index;
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

/* Looks for the processes at this packet's sockets; false when one is still not known. */
static __always_inline bool find_owners(struct __sk_buff *skb, struct flow_entry *entry,
					const struct packet *p, __u8 direction, __u64 now)
{
	bool known = true;

	if (direction == FLOW_EGRESS && !find_sender(skb, &entry->owners[SOURCE]))
		known = entry->owners[SOURCE].owner.pid;
	if ((direction == FLOW_INGRESS || skb->ifindex == LOOPBACK_IFINDEX) &&
	    !find_receiver(skb, p, &entry->owners[DESTINATION]))
		known = known && entry->owners[DESTINATION].owner.pid;
	entry->owner_checked_ns = now;
	return known;
}

static __always_inline bool owners_are_due(struct __sk_buff *skb, const struct flow_entry *entry,
					   const struct packet *p, __u8 direction, __u64 now)
{
	if (direction == FLOW_EGRESS && (owner_is_due(entry, SOURCE, p, now) ||
					 sent_by_another_socket(skb, &entry->owners[SOURCE])))
		return true;
	return (direction == FLOW_INGRESS || skb->ifindex == LOOPBACK_IFINDEX) &&
	       owner_is_due(entry, DESTINATION, p, now);
}

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
#define METER_IN(map, key_type, version)                                                           \
	__noinline int meter_in_##map(struct __sk_buff *skb, struct packet *p, __u8 direction,     \
				      __u64 now)                                                   \
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
METER_IN(flows_v4, struct flow_key_v4, 4)
METER_IN(flows_v6, struct flow_key_v6, 6)

static __always_inline int meter(struct __sk_buff *skb, bool ethernet, __u8 direction)
{
	struct packet packet = {};
	__u64 now;

	switch (parse_packet(skb, &packet, ethernet)) {
	case PARSE_NOT_IP:
		count(NON_IP_FRAMES, 1);
		return TC_ACT_UNSPEC;
	case PARSE_MALFORMED:
		count(MALFORMED_PACKETS, 1);
		return TC_ACT_UNSPEC;
	}
	packet.interface_index = skb->ifindex;
	packet.netns = meter_settings.netns;
	now = bpf_ktime_get_boot_ns();
	if (packet.first_fragment || packet.later_fragment)
		match_fragment(&packet, skb->ifindex, direction, now);
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet.flags |= FLOW_LOOPBACK;
	count_metered(packet.segments, packet.octets);
	if (packet.ip_version == 4)
		meter_in_flows_v4(skb, &packet, direction, now);
	else
		meter_in_flows_v6(skb, &packet, direction, now);
	return TC_ACT_UNSPEC;
}

/*
 * TC, not XDP: it sees both directions, and egress packets with their socket. TCX from kernel 6.6,
 * clsact before. One program per direction and kind of link.
 */
SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return meter(skb, true, FLOW_INGRESS);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return meter(skb, true, FLOW_EGRESS);
}

SEC("tc")
int flow_ingress_ip(struct __sk_buff *skb)
{
	return meter(skb, false, FLOW_INGRESS);
}

SEC("tc")
int flow_egress_ip(struct __sk_buff *skb)
{
	return meter(skb, false, FLOW_EGRESS);
}

/* One step of the walk; the key is copied because deletion wants it in the program's own memory. */
#define SWEEP(map, key_type, version)                                                              \
	SEC("iter/bpf_map_elem")                                                                   \
	int sweep_##map(struct bpf_iter__bpf_map_elem *ctx)                                        \
	{                                                                                          \
		const key_type *entry_key = ctx->key;                                              \
		struct flow_entry *entry = ctx->value;                                             \
		struct expiry_settings *settings;                                                  \
		struct flow_record record = {};                                                    \
		enum take_result result;                                                           \
		key_type key;                                                                      \
		__u32 zero = 0;                                                                    \
                                                                                                   \
		if (!entry_key || !entry)                                                          \
			return 0;                                                                  \
		settings = bpf_map_lookup_elem(&expiry_settings, &zero);                           \
		if (!settings)                                                                     \
			return 0;                                                                  \
		result = take_record(entry, settings, bpf_ktime_get_boot_ns(), &record);           \
		if (result == NOTHING_TAKEN)                                                       \
			return 0;                                                                  \
		if (result == WRITERS_AT_WORK) {                                                   \
			count(EXPIRY_DEFERRED, 1);                                                 \
			return 0;                                                                  \
		}                                                                                  \
		key = *entry_key;                                                                  \
		if (result == RECORD_WRITTEN) {                                                    \
			FILL_FROM_KEY(&record, &key, version);                                     \
			fill_icmp(&record);                                                        \
			if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))                \
				return 0; /* the buffer is full: read() comes again */             \
		}                                                                                  \
		if (release_page(entry) && !bpf_map_delete_elem(&map, &key))                       \
			count(FLOWS_DELETED, 1);                                                   \
		return 0;                                                                          \
	}

SWEEP(flows_v4, struct flow_key_v4, 4)
SWEEP(flows_v6, struct flow_key_v6, 6)

/* Keeps the contract's structures and enumerations in the object's BTF. */
struct flow_record contract_record SEC(".rodata.contract");
enum contract contract_version SEC(".rodata.contract") = CONTRACT_VERSION;
enum flow_direction contract_direction SEC(".rodata.contract");
enum attribution_method contract_method SEC(".rodata.contract");
enum unknown_reason contract_unknown SEC(".rodata.contract");
enum flow_end_reason contract_end_reason SEC(".rodata.contract");
enum flow_flag contract_flag SEC(".rodata.contract");
enum meter_counter contract_counter SEC(".rodata.contract");
