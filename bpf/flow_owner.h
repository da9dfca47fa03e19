/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Gives a flow its process. Egress: the packet's own socket. Ingress, and the receiving end of
 * loopback: the socket that the packet is going to find. Packets that have no socket any more
 * take the owner of the same connection's other direction.
 */
#ifndef PROCFLOW_FLOW_OWNER_H
#define PROCFLOW_FLOW_OWNER_H

#include "flow_cache.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

#define AF_INET	 2 /* include/linux/socket.h */
#define AF_INET6 10

#define OWNER_RECHECK_NS    (1000 * 1000 * 1000ULL) /* an owner that is final */
#define OWNER_RETRY_NS	    (10 * 1000 * 1000ULL)   /* one that may yet get better */
#define OWNER_EAGER_PACKETS 16			    /* so many first packets try without waiting */

/* Takes over what the socket's storage says, unless it says nothing new. */
static __always_inline bool adopt_owner(struct guarded_owner *known, struct guarded_owner *stored,
					__u64 cookie, __u8 method)
{
	struct process_owner owner;

	if (!read_owner(stored, &owner) || owner.method == ATTRIBUTION_UNKNOWN)
		return false;
	if (method != ATTRIBUTION_UNKNOWN) {
		owner.method = method;
		owner.is_final = false;
	}
	if (known->cookie == cookie && known->owner.is_final == owner.is_final &&
	    known->owner.method == owner.method && same_process(&known->owner, &owner))
		return true;
	return write_owner(known, &owner, cookie);
}

/*
 * The same connection's other direction: its receiver here is our sender, and vice versa. A side
 * that is not on this host has no process there either.
 */
static __always_inline void adopt_reverse(struct flow_entry *entry, struct flow_entry *reverse,
					  enum flow_side side)
{
	struct guarded_owner *other = &reverse->owners[!side];

	if (!entry->owners[side].owner.pid && other->owner.pid)
		adopt_owner(&entry->owners[side], other, other->cookie, ATTRIBUTION_REVERSE_FLOW);
}

/* Neither end is on this host: there is no process to look for. */
static __always_inline void note_forwarded(struct guarded_owner *known)
{
	struct process_owner nobody = {.method = ATTRIBUTION_FORWARDED};

	if (known->owner.method == ATTRIBUTION_UNKNOWN)
		write_owner(known, &nobody, 0);
}

/*
 * The sender: its socket comes with the packet. Returns false when there is none that is known.
 * A request socket (SYN-ACK) has no storage, but already the cookie of the socket to come.
 */
static __always_inline bool find_sender(struct __sk_buff *skb, struct guarded_owner *known)
{
	struct guarded_owner *stored;
	struct bpf_sock *sk = skb->sk;
	__u64 cookie;

	if (!sk) {
		if (skb->ingress_ifindex) /* it came in somewhere */
			note_forwarded(known);
		return false;
	}
	cookie = bpf_get_socket_cookie(skb);
	sk = bpf_sk_fullsock(sk);
	if (!sk) {
		if (!known->cookie)
			known->cookie = cookie;
		return false;
	}
	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, 0);
	if (!stored) {
		/* An AF_PACKET sender: noted after its first send, under this cookie. */
		if (!known->cookie)
			known->cookie = cookie;
		return false;
	}
	return adopt_owner(known, stored, cookie, ATTRIBUTION_UNKNOWN);
}

/*
 * The cookie of a TCP socket that was looked up. A socket accepted a moment ago still has its
 * listener's cookie in the storage that it was given.
 */
static __always_inline __u64 cookie_of_receiver(struct bpf_sock *sk,
						const struct guarded_owner *stored)
{
	__u64 cookie = stored->cookie;
	struct tcp_sock *tcp;

	if (sk->protocol != IPPROTO_TCP)
		return cookie;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (tcp) /* volatile: one load for both would have two kinds of pointer, which is refused */
		cookie = *(volatile __u64 *)&((struct sock *)tcp)->__sk_common.skc_cookie.counter;
	return cookie;
}

static __always_inline bool adopt_receiver(struct bpf_sock *sk, struct guarded_owner *known)
{
	struct guarded_owner *stored = bpf_sk_storage_get(&socket_owners, sk, NULL, 0);
	__u8 method = ATTRIBUTION_UNKNOWN;

	if (!stored)
		return false;
	if (sk->protocol == IPPROTO_TCP && sk->state == BPF_TCP_LISTEN)
		method = ATTRIBUTION_LISTENER;
	return adopt_owner(known, stored, cookie_of_receiver(sk, stored), method);
}

/*
 * Whether the packet goes on to another host: its route leads out again. A socket bound to no
 * address would match such a packet by its port alone.
 */
static __always_inline bool is_forwarded(struct __sk_buff *skb, const struct packet *p)
{
	struct bpf_fib_lookup route = {};

	if (skb->ifindex == LOOPBACK_IFINDEX)
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
	default: /* local, multicast, or this host does not forward */
		return false;
	}
}

static __always_inline bool is_bound_to_any_address(struct bpf_sock *sk)
{
	return !sk->src_ip4 && !(sk->src_ip6[0] | sk->src_ip6[1] | sk->src_ip6[2] | sk->src_ip6[3]);
}

static __always_inline struct bpf_sock *look_up_receiver(struct __sk_buff *skb,
							 const struct packet *p)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return NULL;
	if (p->ip_version == 4) {
		__builtin_memcpy(&tuple.ipv4.saddr, p->source_address, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, p->destination_address, 4);
		tuple.ipv4.sport = p->source_port;
		tuple.ipv4.dport = p->destination_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, p->source_address, 16);
		__builtin_memcpy(tuple.ipv6.daddr, p->destination_address, 16);
		tuple.ipv6.sport = p->source_port;
		tuple.ipv6.dport = p->destination_port;
		size = sizeof(tuple.ipv6);
	}
	if (p->protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

/* The receiver: TC runs before the packet finds its socket, so it is looked up here. */
static __always_inline bool find_receiver(struct __sk_buff *skb, const struct packet *p,
					  struct guarded_owner *known)
{
	struct bpf_sock *sk = look_up_receiver(skb, p);
	bool found = false;

	if (!sk) {
		if (is_forwarded(skb, p))
			note_forwarded(known);
		return false;
	}
	if (is_bound_to_any_address(sk) && is_forwarded(skb, p))
		note_forwarded(known);
	else
		found = adopt_receiver(sk, known);
	bpf_sk_release(sk);
	return found;
}

/* Another socket on the same ports; a packet without one says nothing. */
static __always_inline bool sent_by_another_socket(struct __sk_buff *skb,
						   const struct guarded_owner *known)
{
	__u64 cookie = bpf_get_socket_cookie(skb);

	return cookie && cookie != known->cookie;
}

/* Whether this packet should look for its process again. */
static __always_inline bool owner_is_due(const struct flow_entry *entry, enum flow_side side,
					 const struct packet *p, __u64 now)
{
	__u64 since = now - entry->owner_checked_ns;

	if (p->tcp_flags & TCP_SYN) /* a new connection on an old flow's ports */
		return true;
	if (entry->owners[side].owner.is_final)
		return since >= OWNER_RECHECK_NS;
	return since >= OWNER_RETRY_NS || (entry->state & STATE_PACKETS) <= OWNER_EAGER_PACKETS;
}

#endif
