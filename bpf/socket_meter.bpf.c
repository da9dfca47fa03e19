// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a packet of a socket becomes a flow, in all network namespaces at once: on its way out
 * where its sender's socket lets it go, on its way in where its receiver's socket takes it.
 */
#include "flow_metering.h"
#include "packet_socket.h"
#include "plain_packet.h"
#include "sampling.h"
#include "unsampled_sender.h"

#define PASS 1 /* 0 would drop the packet: every path returns this */

ATTRIBUTE(attribute_packet_v4, flows_v4, struct flow_key_v4, 4, find_at_socket)
ATTRIBUTE(attribute_packet_v6, flows_v6, struct flow_key_v6, 6, find_at_socket)
METER_IN(meter_packet_v4, flows_v4, struct flow_key_v4, 4, attribute_packet_v4)
METER_IN(meter_packet_v6, flows_v6, struct flow_key_v6, 6, attribute_packet_v6)

/* Tells a flow that was metered at its sender who receives it; false when there is none. */
#define NOTE_RECEIVER(name, map, key_type, unsampled, far)                                         \
	__noinline int name(struct __sk_buff *skb, struct packet *p)                               \
	{                                                                                          \
		struct end_owner *receiver;                                                        \
		key_type key;                                                                      \
                                                                                                   \
		if (!p)                                                                            \
			return false;                                                              \
		MAKE_KEY(&key, p, FLOW_EGRESS);                                                    \
		if (!bpf_map_lookup_elem(&map, &key))                                              \
			return unsampled_cookie(&unsampled, &key) != 0;                            \
		receiver = far(&key, true);                                                        \
		if (receiver && bpf_get_socket_cookie(skb) != receiver->owner.cookie)              \
			find_own_owner(skb, p, &receiver->owner);                                  \
		return true;                                                                       \
	}

NOTE_RECEIVER(note_receiver_v4, flows_v4, struct flow_key_v4, unsampled_v4, far_owner_v4)
NOTE_RECEIVER(note_receiver_v6, flows_v6, struct flow_key_v6, unsampled_v6, far_owner_v6)

/*
 * Each raw socket of ICMP gets a copy of each reply, before its own filter. It counts once: where
 * the request came from.
 */
#define IS_COPY_OF_REPLY(name, map, key_type, unsampled, related_key)                              \
	__noinline int name(struct __sk_buff *skb, struct packet *p)                               \
	{                                                                                          \
		struct flow_entry *request;                                                        \
		key_type key, related;                                                             \
		__u64 cookie;                                                                      \
                                                                                                   \
		if (!p)                                                                            \
			return false;                                                              \
		MAKE_KEY(&key, p, FLOW_INGRESS);                                                   \
		if (related_key(skb, p, &key, DESTINATION, &related) != ATTRIBUTION_ICMP_ID)       \
			return false;                                                              \
		request = bpf_map_lookup_elem(&map, &related);                                     \
		cookie = request ? request->near.owner.cookie                                      \
				 : unsampled_cookie(&unsampled, &related);                         \
		return (request || cookie) && cookie != bpf_get_socket_cookie(skb);                \
	}

IS_COPY_OF_REPLY(is_copy_of_reply_v4, flows_v4, struct flow_key_v4, unsampled_v4,
		 attribute_packet_v4_related_key)
IS_COPY_OF_REPLY(is_copy_of_reply_v6, flows_v6, struct flow_key_v6, unsampled_v6,
		 attribute_packet_v6_related_key)

/* A global function, so that the verifier walks its many paths once and not per caller. */
__noinline int parse_ip_packet(struct __sk_buff *skb, struct packet *p)
{
	return p ? parse_packet(skb, p, false, 0) : PARSE_MALFORMED;
}

static __always_inline bool read_packet(struct __sk_buff *skb, struct packet *p)
{
	if (parse_ip_packet(skb, p) != PARSE_OK) {
		count(MALFORMED_PACKETS, 1);
		return false;
	}
	p->interface_index = skb->ifindex;
	p->netns = netns_of(skb);
	if (skb->ifindex == LOOPBACK_IFINDEX)
		p->flags |= FLOW_LOOPBACK;
	return true;
}

static __always_inline void meter_packet(struct __sk_buff *skb, struct metering *m, __u8 direction)
{
	struct packet *p = &m->packet;
	__u64 now;

	if (p->first_fragment || p->later_fragment) /* a raw socket's: all others are whole here */
		match_fragment(p, direction, bpf_ktime_get_boot_ns());
	if (meter_settings.sampling && !sample_packet(p)) {
		note_unsampled(skb, p, direction);
		return;
	}
	now = bpf_ktime_get_boot_ns();
	count_metered_atomically(p->segments, p->octets);
	if (p->ip_version == 4)
		meter_packet_v4(skb, m->slot, direction, now);
	else
		meter_packet_v6(skb, m->slot, direction, now);
}

METER_PLAIN(meter_plain_packet_v4, flows_v4, struct flow_key_v4, read_plain_v4,
	    count_metered_atomically)
METER_PLAIN(meter_plain_packet_v6, flows_v6, struct flow_key_v6, read_plain_v6,
	    count_metered_atomically)

/* A raw socket's packet may be a copy, and on loopback it may have been metered. */
static __always_inline bool meter_plain_packet(struct __sk_buff *skb, __u8 direction)
{
	struct bpf_sock *sk = skb->sk;

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || sk->type == SOCK_RAW)
		return false;
	if (skb->protocol == bpf_htons(ETH_P_IP))
		return meter_plain_packet_v4(skb, 0, direction, netns_of(skb), true);
	return skb->protocol == bpf_htons(ETH_P_IPV6) &&
	       meter_plain_packet_v6(skb, 0, direction, netns_of(skb), true);
}

static __always_inline void meter_sent(struct __sk_buff *skb, struct metering *m)
{
	struct packet *p = &m->packet;

	if (!read_packet(skb, p) || (p->flags & FLOW_LOOPBACK && is_kernel_reset(p)))
		return;
	meter_packet(skb, m, FLOW_EGRESS);
}

static __always_inline void meter_received(struct __sk_buff *skb, struct metering *m)
{
	struct packet *p = &m->packet;
	bool flow_exists;

	if (!read_packet(skb, p) || is_copy(skb, p))
		return;
	if (p->protocol == IPPROTO_ICMP && is_copy_of_reply_v4(skb, p))
		return;
	if (p->protocol == IPPROTO_ICMPV6 && is_copy_of_reply_v6(skb, p))
		return;
	p->at_receiver = true;
	if (!(p->flags & FLOW_LOOPBACK)) {
		meter_packet(skb, m, FLOW_INGRESS);
		return;
	}
	flow_exists = p->ip_version == 4 ? note_receiver_v4(skb, p) : note_receiver_v6(skb, p);
	if (is_kernel_reset(p))
		meter_packet(skb, m, flow_exists ? FLOW_EGRESS : FLOW_INGRESS);
	else if (!was_metered(skb, p, flow_exists))
		meter_packet(skb, m, FLOW_INGRESS);
}

SEC("cgroup/skb")
int packet_long_way(struct __sk_buff *skb)
{
	struct metering *m = arrive_on_long_way(skb);

	if (m) {
		if (m->direction == FLOW_EGRESS)
			meter_sent(skb, m);
		else
			meter_received(skb, m);
		end_metering(m);
	}
	return PASS;
}

/*
 * cgroup_skb, not TC: one place for all network namespaces, and the packet has its socket in both
 * directions. Egress runs when the packet has left its IP layer, before it is fragmented. Kernel
 * 4.10, with the socket's owner 5.2. Not of the sections of one direction: a tail call goes only
 * to a program of the same.
 */
SEC("cgroup/skb")
int socket_egress(struct __sk_buff *skb)
{
	if (!allows_short_way() || !meter_plain_packet(skb, FLOW_EGRESS))
		go_long_way(skb, FLOW_EGRESS, false);
	return PASS;
}

/*
 * Runs when the receiving socket is known, after fragments were put together. What comes in on
 * loopback went out on it: there it was metered, unless its sender is not watched.
 */
SEC("cgroup/skb")
int socket_ingress(struct __sk_buff *skb)
{
	if (!allows_short_way() || !meter_plain_packet(skb, FLOW_INGRESS))
		go_long_way(skb, FLOW_INGRESS, false);
	return PASS;
}
