/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* From a socket that was found to the owner of a flow's end. */
#ifndef PROCFLOW_FOUND_OWNER_H
#define PROCFLOW_FOUND_OWNER_H

#include "flow_cache.h"
#include "late_owner.h"
#include "meter_settings.h"

enum find_result {
	FOUND_OWNER,
	FOUND_KERNEL,	 /* the kernel's own socket, or a packet that it answers itself */
	FOUND_FORWARDED, /* neither end is on this host */
	FOUND_NO_OWNER,	 /* a socket that nobody was seen using */
	FOUND_NO_SOCKET, /* of a protocol whose sockets cannot be looked up */
	FOUND_CHANGING,
	FOUND_FRAGMENT, /* its ports are not known */
};

/*
 * Takes over what is stored, unless it says nothing new.
 * @method: how it was found, if not by the packet's own socket
 */
static __always_inline bool adopt_owner(struct guarded_owner *known, struct guarded_owner *stored,
					__u64 cookie, __u8 method)
{
	struct process_owner owner;

	if (!read_owner(stored, &owner) || owner.method == ATTRIBUTION_UNKNOWN)
		return false;
	if (method != ATTRIBUTION_UNKNOWN) {
		owner.method = method;
		owner.flags &= ~OWNER_USED;
	}
	if (known->cookie == cookie && known->owner.flags == owner.flags &&
	    known->owner.method == owner.method && same_process(&known->owner, &owner))
		return true;
	return write_owner(known, &owner, cookie);
}

/* Where the owner of a subflow of MPTCP is kept: at the socket that the process knows. */
static __always_inline struct guarded_owner *owner_of_subflow(struct bpf_sock *sk)
{
	struct mptcp_sock *connection = bpf_skc_to_mptcp_sock(sk);

	return connection ? bpf_sk_storage_get(&socket_owners, connection, NULL, 0) : NULL;
}

/* @cookie: of the socket, under which a better owner may be noted later; 0: as it is stored. */
static __always_inline enum find_result
adopt_socket(struct bpf_sock *sk, struct guarded_owner *known, __u64 cookie, __u8 method)
{
	struct guarded_owner *stored = bpf_sk_storage_get(&socket_owners, sk, NULL, 0), *outer;

	if (meter_settings.can_cast) {
		struct sock *kernel_sk = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct sock));

		if (BPF_CORE_READ_BITFIELD(kernel_sk, sk_kern_sock)) {
			outer = sk->protocol == IPPROTO_TCP ? owner_of_subflow(sk) : NULL;
			if (outer) {
				stored = outer;
				cookie = 0;
			}
			if (!stored)
				return FOUND_KERNEL;
		}
	}
	if (!stored)
		return FOUND_NO_OWNER;
	if (adopt_owner(known, stored, cookie ?: stored->cookie, method))
		return FOUND_OWNER;
	if (!known->cookie) /* what is noted later is found under it */
		known->cookie = cookie ?: stored->cookie;
	return stored->owner.method == ATTRIBUTION_UNKNOWN ? FOUND_NO_OWNER : FOUND_CHANGING;
}

/*
 * A listener is right for a SYN. What comes later has it only for want of the connection's own
 * socket: the kernel's reset, or a segment for a socket that is gone.
 */
static __always_inline enum find_result adopt_full_socket(struct bpf_sock *sk,
							  const struct packet *p,
							  struct guarded_owner *known, __u64 cookie)
{
	if (sk->protocol != IPPROTO_TCP || sk->state != BPF_TCP_LISTEN)
		return adopt_socket(sk, known, cookie, ATTRIBUTION_UNKNOWN);
	if (known->owner.pid && (p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN)
		return FOUND_OWNER;
	return adopt_socket(sk, known, cookie, ATTRIBUTION_LISTENER);
}

/* @protocol: TCP or UDP. Addresses are the packet's. */
static __always_inline struct bpf_sock *look_up_socket(struct __sk_buff *skb, __u8 ip_version,
						       __u8 protocol, const __u8 *source_address,
						       const __u8 *destination_address,
						       __u16 source_port, __u16 destination_port)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size;

	if (ip_version == 4) {
		__builtin_memcpy(&tuple.ipv4.saddr, source_address, 4);
		__builtin_memcpy(&tuple.ipv4.daddr, destination_address, 4);
		tuple.ipv4.sport = source_port;
		tuple.ipv4.dport = destination_port;
		size = sizeof(tuple.ipv4);
	} else {
		__builtin_memcpy(tuple.ipv6.saddr, source_address, 16);
		__builtin_memcpy(tuple.ipv6.daddr, destination_address, 16);
		tuple.ipv6.sport = source_port;
		tuple.ipv6.dport = destination_port;
		size = sizeof(tuple.ipv6);
	}
	if (protocol == IPPROTO_TCP)
		return bpf_sk_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	return bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
}

#endif
