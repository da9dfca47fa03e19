/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Who receives a packet: TC runs before it finds its socket, so the socket is looked up here. */
#ifndef PROCFLOW_PACKET_RECEIVER_H
#define PROCFLOW_PACKET_RECEIVER_H

#include "found_owner.h"

#define PACKET_OTHERHOST 3 /* include/uapi/linux/if_packet.h */

/*
 * The cookie of a TCP socket that was looked up. A socket accepted a moment ago still has its
 * listener's cookie in the storage that it was given.
 */
static __always_inline __u64 cookie_of_receiver(struct bpf_sock *sk)
{
	struct tcp_sock *tcp;

	if (sk->protocol != IPPROTO_TCP)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	return tcp ? ((struct sock *)tcp)->__sk_common.skc_cookie.counter : 0;
}

static __always_inline enum find_result adopt_receiver(struct bpf_sock *sk, const struct packet *p,
						       struct guarded_owner *known)
{
	return adopt_full_socket(sk, p, known, cookie_of_receiver(sk));
}

/*
 * Whether the packet goes on to another host: its route leads out again. A socket bound to no
 * address would match such a packet by its port alone.
 */
static __always_inline bool is_forwarded(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup route = {};

	if (p->flags & FLOW_LOOPBACK)
		return false;
	route.ifindex = skb->ifindex;
	route.l4_protocol = p->protocol;
	if (p->ip_version == 4) {
		route.family = AF_INET;
		__builtin_memcpy(&route.ipv4_src, p->source_address, 4);
		__builtin_memcpy(&route.ipv4_dst, p->destination_address, 4);
	} else {
		route.family = AF_INET6;
		__builtin_memcpy(route.ipv6_src, p->source_address, 16);
		__builtin_memcpy(route.ipv6_dst, p->destination_address, 16);
	}
	switch (bpf_fib_lookup(skb, &route, sizeof(route), 0)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_UNSUPP_LWT:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
	case BPF_FIB_LKUP_RET_FRAG_NEEDED:
		return true;
	case BPF_FIB_LKUP_RET_NOT_FWDED: /* local or multicast: to a bridge's own address, say */
		return false;
	default: /* this host does not forward */
		return skb->pkt_type == PACKET_OTHERHOST;
	}
}

static __always_inline bool is_bound_to_any_address(struct bpf_sock *sk)
{
	return !sk->src_ip4 && !(sk->src_ip6[0] | sk->src_ip6[1] | sk->src_ip6[2] | sk->src_ip6[3]);
}

static __always_inline struct bpf_sock *look_up_receiver(struct __sk_buff *skb,
							 const struct packet *p)
{
	return look_up_socket(skb, p->ip_version, p->protocol, p->source_address,
			      p->destination_address, p->source_port, p->destination_port);
}

/* Neither TCP nor UDP: a socket that was noted when it was used, or else the kernel itself. */
static __always_inline enum find_result find_noted_receiver(const struct packet *p,
							    struct guarded_owner *known)
{
	struct receiver_key key = receiver_key(p->netns, p->ip_version, p->protocol,
					       has_ports(p->protocol) ? p->destination_port : 0);
	struct receiver *receiver = bpf_map_lookup_elem(&receivers, &key);

	if (!receiver && key.port) {
		key.port = 0; /* a raw socket of a protocol with ports */
		receiver = bpf_map_lookup_elem(&receivers, &key);
	}
	if (!receiver)
		return has_ports(p->protocol) ? FOUND_NO_SOCKET : FOUND_KERNEL;
	if (receiver->released_ns || !receiver->owner.pid)
		return FOUND_NO_SOCKET; /* another one may be open: then it is noted at once */
	if (same_process(&known->owner, &receiver->owner) && known->cookie == receiver->cookie)
		return FOUND_OWNER;
	return write_owner(known, &receiver->owner, receiver->cookie) ? FOUND_OWNER
								      : FOUND_CHANGING;
}

static __always_inline enum find_result find_receiver(struct __sk_buff *skb, const struct packet *p,
						      struct guarded_owner *known)
{
	enum find_result result;
	struct bpf_sock *sk;

	if (p->ports_unknown)
		return FOUND_FRAGMENT;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return is_forwarded(skb, p) ? FOUND_FORWARDED : find_noted_receiver(p, known);
	sk = look_up_receiver(skb, p);
	if (!sk)
		return is_forwarded(skb, p) ? FOUND_FORWARDED : FOUND_KERNEL;
	if (is_bound_to_any_address(sk) && is_forwarded(skb, p))
		result = FOUND_FORWARDED;
	else
		result = adopt_receiver(sk, p, known);
	bpf_sk_release(sk);
	return result;
}

#endif
