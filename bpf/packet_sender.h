/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Who sent a packet: its socket comes with it. */
#ifndef PROCFLOW_PACKET_SENDER_H
#define PROCFLOW_PACKET_SENDER_H

#include "found_owner.h"

/*
 * A tunnel's outer packet still carries the socket of the packet inside: it is the kernel's, and
 * its flow has the packets of many. The tunnel's own interface shows whose each was.
 */
static __always_inline bool is_encapsulated(struct __sk_buff *skb, const struct packet *p,
					    struct bpf_sock *sk)
{
	struct sk_buff *kernel_skb;

	if ((sk->family == AF_INET || sk->family == AF_INET6) && sk->type != SOCK_RAW &&
	    sk->protocol && /* BPF_PROG_TEST_RUN's socket has none */
	    sk->protocol != p->protocol && sk->protocol != IPPROTO_MPTCP)
		return true;
	if (!meter_settings.can_cast)
		return false;
	kernel_skb = bpf_cast_to_kern_ctx(skb);
	/* WireGuard and IPsec leave the one without the other. */
	return BPF_CORE_READ_BITFIELD(kernel_skb, encapsulation) ||
	       kernel_skb->inner_network_header;
}

/*
 * A request socket (SYN-ACK) has no storage, but already the cookie of the socket to come. A
 * TIME_WAIT socket has neither.
 */
static __always_inline enum find_result find_sender(struct __sk_buff *skb, const struct packet *p,
						    struct guarded_owner *known)
{
	struct bpf_sock *sk = skb->sk;
	enum find_result result;
	__u64 cookie;

	if (!sk) /* forwarded, if it came in somewhere */
		return skb->ingress_ifindex && !(p->flags & FLOW_LOOPBACK) ? FOUND_FORWARDED
									   : FOUND_KERNEL;
	cookie = bpf_get_socket_cookie(skb);
	sk = bpf_sk_fullsock(sk);
	if (sk) {
		if (is_encapsulated(skb, p, sk))
			return FOUND_KERNEL;
		result = adopt_full_socket(sk, p, known, cookie);
		if (result != FOUND_NO_OWNER)
			return result;
	}
	/* An AF_PACKET sender: noted after its first send, under this cookie. */
	if (!known->cookie)
		known->cookie = cookie;
	return FOUND_NO_OWNER;
}

#endif
