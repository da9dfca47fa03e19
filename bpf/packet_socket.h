/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The processes of a packet that is metered at its socket: skb->sk is its sender's on the way out
 * and its receiver's on the way in. On loopback, where the packet counts only once, the process at
 * the other end is looked up; the receiver's own socket has the last word.
 */
#ifndef PROCFLOW_PACKET_SOCKET_H
#define PROCFLOW_PACKET_SOCKET_H

#include "flow_owner.h"
#include "packet_receiver.h"
#include "meter_settings.h"

#define MAX_CGROUP_LEVELS 32

/*
 * The network namespace of the packet's socket, by its inode number. Before kernel 6.2 it is noted
 * with the socket's owner, and 0 where there is none.
 */
static __always_inline __u32 netns_of(struct __sk_buff *skb)
{
	struct sk_buff *kernel_skb;
	struct guarded_owner *stored;
	struct bpf_sock *sk = skb->sk;
	struct sock *kernel_sk;

	if (meter_settings.can_cast) {
		kernel_skb = bpf_cast_to_kern_ctx(skb);
		kernel_sk = kernel_skb->sk;
		return kernel_sk ? kernel_sk->__sk_common.skc_net.net->ns.inum : 0;
	}
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	stored = sk ? bpf_sk_storage_get(&socket_owners, sk, NULL, 0) : NULL;
	return stored ? stored->netns : 0;
}

/* The packet's own socket, by its cookie: a datagram's owner may be noted only later. */
static __always_inline enum find_result
find_own_owner(struct __sk_buff *skb, const struct packet *p, struct guarded_owner *known)
{
	struct bpf_sock *sk = skb->sk;
	__u64 cookie = bpf_get_socket_cookie(skb);

	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk)
		return FOUND_NO_OWNER;
	if (!known->cookie)
		known->cookie = cookie;
	return adopt_full_socket(sk, p, known, cookie);
}

/* The socket to which this packet would be an answer. */
static __always_inline struct bpf_sock *look_up_sender(struct __sk_buff *skb,
						       const struct packet *p)
{
	return look_up_socket(skb, p->ip_version, p->protocol, p->destination_address,
			      p->source_address, p->destination_port, p->source_port);
}

/* The other end of loopback. */
static __always_inline enum find_result
find_other_owner(struct __sk_buff *skb, const struct packet *p, struct guarded_owner *known)
{
	enum find_result result;
	struct bpf_sock *sk;

	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return p->at_receiver ? FOUND_KERNEL : find_noted_receiver(p, known);
	sk = p->at_receiver ? look_up_sender(skb, p) : look_up_receiver(skb, p);
	if (!sk)
		return FOUND_KERNEL;
	result = adopt_receiver(sk, p, known);
	bpf_sk_release(sk);
	return result;
}

static __always_inline enum find_result find_at_socket(struct __sk_buff *skb,
						       const struct packet *p, enum flow_side side,
						       struct guarded_owner *known)
{
	return side == own_side(p) ? find_own_owner(skb, p, known)
				   : find_other_owner(skb, p, known);
}

static __always_inline bool is_watched(struct bpf_sock *sk)
{
	for (int level = 0; level < MAX_CGROUP_LEVELS; level++) {
		__u64 id = bpf_sk_ancestor_cgroup_id(sk, level);

		if (!id || id == meter_settings.watched_cgroup)
			return id;
	}
	return false;
}

/*
 * A reset that the kernel sends, for a closed port or a connection that is gone. A process's own
 * one carries an ACK and a sequence number; this has either none, in answer to a SYN, or no ACK. On
 * loopback it counts at its receiver, because not every kernel shows it on its way out.
 */
static __always_inline bool is_kernel_reset(const struct packet *p)
{
	return p->protocol == IPPROTO_TCP && p->tcp_flags & TCP_RST &&
	       (!(p->tcp_flags & TCP_ACK) || !p->tcp_sequence);
}

/*
 * Whether a packet that comes in on loopback was metered on its way out: its sender is in the
 * watched cgroup. A sender that is gone, or of a protocol that knows no lookup, has left its flow.
 * A global function, to have a stack of its own.
 */
__noinline int was_metered(struct __sk_buff *skb, struct packet *p, bool flow_exists)
{
	struct bpf_sock *sender;
	bool watched;

	if (!p)
		return false;
	if (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP)
		return flow_exists;
	if (!meter_settings.watched_cgroup)
		return true;
	sender = look_up_sender(skb, p);
	if (!sender)
		return flow_exists;
	watched = is_watched(sender);
	bpf_sk_release(sender);
	return watched;
}

/*
 * A raw socket gets a copy of each packet of its protocol; one of TCP or UDP counts at the socket
 * that it is for.
 */
__noinline int is_copy(struct __sk_buff *skb, struct packet *p)
{
	struct bpf_sock *sk = skb->sk;

	if (!p)
		return false;
	sk = sk ? bpf_sk_fullsock(sk) : NULL;
	if (!sk || sk->type != SOCK_RAW ||
	    (p->protocol != IPPROTO_TCP && p->protocol != IPPROTO_UDP))
		return false;
	sk = look_up_receiver(skb, p);
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

#endif
