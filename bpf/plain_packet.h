/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The short way through the cache, for nearly every packet: plain TCP or UDP of a flow that is
 * there and whose process need not be looked for again. Whatever is not plain takes the long way,
 * where all of the rules are (packet.h, flow_metering.h); here is nothing that is not there too.
 *
 * The clock is read for the first packets of a record, and when the kernel's timer has ticked since
 * the flow's last packet. So the end of a longer record is early by one tick (CONFIG_HZ: 1 to 10
 * ms) at most, and reading the clock, the dearest thing a packet would do, is for one packet a
 * tick.
 */
#ifndef PROCFLOW_PLAIN_PACKET_H
#define PROCFLOW_PLAIN_PACKET_H

#include "flow_owner.h"

#define EXACT_PACKETS                                                                              \
	16 /* of a record, that read the clock; not fewer than OWNER_EAGER_PACKETS                 \
	    */

#define IPV4_PLAIN 0x45 /* version 4, no options */

/* As far as TCP's flags; a shorter UDP packet goes the long way. */
struct plain_transport {
	__u32 ports;
	__u32 sequence;
	__u32 acknowledgement;
	__u16 tcp_flags;
} __attribute__((packed, aligned(4)));

struct plain_ipv4 {
	struct ipv4_header ip;
	struct plain_transport transport;
};

struct plain_ipv6 {
	struct ipv6_header ip;
	struct plain_transport transport;
};

/*
 * By words: what is not said to be aligned the compiler copies octet by octet; and the kernel's
 * hash reads the key by words, which waits for the stores where a word was written in parts.
 */
#define COPY_WORDS(to, from, octets)                                                               \
	__builtin_memcpy(__builtin_assume_aligned(to, 4), __builtin_assume_aligned(&(from), 4),    \
			 octets)

/* As far as the packet has it: the structures are rounded up. */
#define PLAIN_TRANSPORT_OCTETS 14

/* What a plain packet tells beside its flow's key. Lengths at IP level. */
struct plain_packet {
	__u32 segments; /* packets on the wire */
	__u32 octets;	/* of all of them */
	__u16 min_length;
	__u16 max_length;
	__u16 tcp_flags;
	__u8 ttl;
	__u8 ip_header_length;
	__u8 tcp_header_length; /* 0: UDP */
};

/* Anything else that is set goes through all of a packet. */
static __always_inline bool allows_short_way(void)
{
	return !meter_settings.track_process && meter_settings.track_level == TRACK_FULL &&
	       !meter_settings.sampling;
}

/*
 * The headers at a constant offset: where they are if that is the linear part of the skb, which is
 * cheaper, else a copy. NULL where there is less.
 */
static __always_inline const void *headers_at(struct __sk_buff *skb, __u32 offset, void *copy,
					      __u32 length)
{
	const void *data = (void *)(long)skb->data + offset;

	if (data + length <= (void *)(long)skb->data_end)
		return data;
	return bpf_skb_load_bytes(skb, offset, copy, length) ? NULL : copy;
}

static __always_inline bool
is_plain_transport(__u8 protocol, const struct plain_transport *transport, struct plain_packet *p)
{
	if (protocol == IPPROTO_UDP) {
		p->tcp_flags = 0;
		p->tcp_header_length = 0;
		return true;
	}
	p->tcp_flags = bpf_ntohs(transport->tcp_flags) & TCP_FLAGS_MASK;
	p->tcp_header_length = bpf_ntohs(transport->tcp_flags) >> 12 << 2;
	return protocol == IPPROTO_TCP && !(p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST));
}

/* A key's last word: protocol, direction, no pid. */
static __always_inline void set_kind(__u8 *to, __u8 protocol, __u8 direction)
{
	__u32 kind = protocol | direction << 8;

	COPY_WORDS(to, kind, 4);
}

static __always_inline bool read_plain_v4(struct __sk_buff *skb, __u32 offset,
					  struct flow_key_v4 *key, __u8 direction,
					  struct plain_packet *p)
{
	struct plain_ipv4 copy;
	const struct plain_ipv4 *head =
		headers_at(skb, offset, &copy, IPV4_MIN_HEADER_LENGTH + PLAIN_TRANSPORT_OCTETS);

	if (!head || head->ip.version_and_length != IPV4_PLAIN ||
	    head->ip.fragment & bpf_htons(IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK) ||
	    !is_plain_transport(head->ip.protocol, &head->transport, p))
		return false;
	p->octets = bpf_ntohs(head->ip.total_length);
	p->ip_header_length = IPV4_MIN_HEADER_LENGTH;
	p->ttl = head->ip.ttl;
	COPY_WORDS(key->source_address, head->ip.source, 4);
	COPY_WORDS(key->destination_address, head->ip.destination, 4);
	COPY_WORDS(&key->source_port, head->transport.ports, 4);
	set_kind(&key->protocol, head->ip.protocol, direction);
	return true;
}

static __always_inline bool read_plain_v6(struct __sk_buff *skb, __u32 offset,
					  struct flow_key_v6 *key, __u8 direction,
					  struct plain_packet *p)
{
	struct plain_ipv6 copy;
	const struct plain_ipv6 *head =
		headers_at(skb, offset, &copy, IPV6_HEADER_LENGTH + PLAIN_TRANSPORT_OCTETS);

	if (!head || bpf_ntohl(head->ip.version_class_label) >> 28 != 6 ||
	    !head->ip.payload_length ||
	    !is_plain_transport(head->ip.next_header, &head->transport, p))
		return false;
	p->octets = bpf_ntohs(head->ip.payload_length) + IPV6_HEADER_LENGTH;
	p->ip_header_length = IPV6_HEADER_LENGTH;
	p->ttl = head->ip.hop_limit;
	COPY_WORDS(key->source_address, head->ip.source, ADDRESS_LENGTH);
	COPY_WORDS(key->destination_address, head->ip.destination, ADDRESS_LENGTH);
	COPY_WORDS(&key->source_port, head->transport.ports, 4);
	set_kind(&key->protocol, head->ip.next_header, direction);
	return true;
}

/*
 * Octets and packets as on the wire, as measure() of packet.h has them. An offloaded one is TCP's
 * here: in a tunnel its outermost header would be another.
 */
static __always_inline bool measure_plain(struct __sk_buff *skb, __u32 offset,
					  struct plain_packet *p)
{
	__u32 headers = p->ip_header_length + p->tcp_header_length;
	__u32 available = skb->len - offset, gso_size = skb->gso_size, segments, last;

	if (!gso_size) {
		p->segments = 1;
		p->min_length = p->max_length = p->octets;
		/* Not less than the header either: one comparison. */
		return p->octets - p->ip_header_length <= available - p->ip_header_length;
	}
	segments = skb->gso_segs;
	if (segments < 2 || p->tcp_header_length < TCP_MIN_HEADER_LENGTH || available <= headers ||
	    gso_size >= available - headers || segments > available - headers ||
	    p->octets < p->ip_header_length)
		return false;
	last = available - headers - (segments - 1) * gso_size;
	p->segments = segments;
	p->octets = available + (segments - 1) * headers;
	p->max_length = headers + gso_size;
	p->min_length = headers + (last <= gso_size ? last : gso_size);
	return true;
}

/* Counts the packet, unless something else is to be done for it. */
static __always_inline bool count_plain(struct flow_entry *entry, const struct plain_packet *p)
{
	__u64 seen = *(volatile __u64 *)&entry->state, traits;
	__u32 tick = bpf_jiffies64();

	if (seen & STATE_DEAD)
		return false;
	if (tick != entry->tick || seen >> PACKETS_SHIFT < EXACT_PACKETS) {
		__u64 now = bpf_ktime_get_boot_ns();

		if ((__s32)(coarse_time(now) - entry->near.due) >= 0 ||
		    (seen >> PACKETS_SHIFT <= OWNER_EAGER_PACKETS && !is_used(&entry->near)))
			return false;
		note_time(entry, seen, now);
		entry->tick = tick;
	}
	traits = traits_of(p->min_length, p->max_length, p->ttl, p->tcp_flags);
	note_traits(page_of(entry, seen), traits);
	return add_counts(entry, seen, counts_of(p->segments, p->octets), traits, entry->last_ns);
}

/*
 * False: the packet goes the long way.
 * @offset: of the IP header
 * @has_socket: whether the packet comes with the socket by which it is metered
 * @count_packet: count_metered, or its atomic form
 */
#define METER_PLAIN(name, map, key_type, read, count_packet)                                       \
	static __always_inline bool name(struct __sk_buff *skb, __u32 offset, __u8 direction,      \
					 __u32 netns, bool has_socket)                             \
	{                                                                                          \
		struct flow_entry *entry;                                                          \
		struct plain_packet p;                                                             \
		key_type key;                                                                      \
                                                                                                   \
		key.scope = netns;                                                                 \
		key.interface_index = skb->ifindex;                                                \
		if (!read(skb, offset, &key, direction, &p) || !measure_plain(skb, offset, &p) ||  \
		    key.interface_index == LOOPBACK_IFINDEX)                                       \
			return false;                                                              \
		entry = bpf_map_lookup_elem(&map, &key);                                           \
		if (!entry || (has_socket && has_another_socket(skb, &entry->near.owner)) ||       \
		    !count_plain(entry, &p))                                                       \
			return false;                                                              \
		count_packet(p.segments, p.octets);                                                \
		return true;                                                                       \
	}

#endif
