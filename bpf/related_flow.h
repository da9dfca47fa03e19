/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * By whom a flow goes whose packet finds no socket, or only a weak one: the connection's other
 * direction, a connection that is closed, the request of an ICMP reply, what an ICMP error quotes.
 */
#ifndef PROCFLOW_RELATED_FLOW_H
#define PROCFLOW_RELATED_FLOW_H

#include "far_owner.h"
#include "found_owner.h"
#include "icmp_quote.h"

/* From another flow's end: a process, or that there is none. */
static __always_inline bool adopt_end(struct guarded_owner *known, struct end_owner *end,
				      __u8 method)
{
	struct guarded_owner *other = &end->owner;

	if (other->owner.method == ATTRIBUTION_KERNEL ||
	    other->owner.method == ATTRIBUTION_FORWARDED)
		return adopt_owner(known, other, other->cookie, ATTRIBUTION_UNKNOWN);
	return other->owner.pid && adopt_owner(known, other, other->cookie, method);
}

/*
 * Whether the connection's other direction knows better than a socket that merely matches: with
 * address translation a listener of this host can match what is for another host or process.
 */
static __always_inline bool is_better_end(const struct guarded_owner *known,
					  const struct end_owner *reverse)
{
	const struct process_owner *other = &reverse->owner.owner;

	if (other->method == ATTRIBUTION_FORWARDED)
		return true;
	return other->method == ATTRIBUTION_SOCKET && !same_process(other, &known->owner) &&
	       (other->flags & OWNER_USED || known->owner.method == ATTRIBUTION_LISTENER);
}

/* The owner of a TCP connection whose socket is gone. */
static __always_inline bool adopt_closed(struct guarded_owner *known, const struct packet *p,
					 enum flow_side side, __u64 now)
{
	struct closed_connection *closed;
	struct connection_key key = {.netns = p->netns};

	if (p->protocol != IPPROTO_TCP || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)
		return false;
	if (side == SOURCE) {
		__builtin_memcpy(key.local_address, p->source_address, ADDRESS_LENGTH);
		__builtin_memcpy(key.remote_address, p->destination_address, ADDRESS_LENGTH);
		key.local_port = p->source_port;
		key.remote_port = p->destination_port;
	} else {
		__builtin_memcpy(key.local_address, p->destination_address, ADDRESS_LENGTH);
		__builtin_memcpy(key.remote_address, p->source_address, ADDRESS_LENGTH);
		key.local_port = p->destination_port;
		key.remote_port = p->source_port;
	}
	closed = bpf_map_lookup_elem(&closed_connections, &key);
	if (!closed || now - closed->closed_ns > CLOSED_LIFETIME_NS || !closed->owner.pid)
		return false;
	return write_owner(known, &closed->owner, closed->cookie);
}

/* The socket that has a TCP packet's local end, a listener too: a SYN-ACK comes without one. */
static __always_inline void adopt_local_socket(struct __sk_buff *skb, __u8 ip_version,
					       const struct packet *p, enum flow_side side,
					       struct guarded_owner *known)
{
	struct bpf_sock *sk;

	if (side == SOURCE)
		sk = look_up_socket(skb, ip_version, p->protocol, p->destination_address,
				    p->source_address, p->destination_port, p->source_port);
	else
		sk = look_up_socket(skb, ip_version, p->protocol, p->source_address,
				    p->destination_address, p->source_port, p->destination_port);
	if (!sk)
		return;
	adopt_socket(sk, known, 0, ATTRIBUTION_UNKNOWN);
	bpf_sk_release(sk);
}

/*
 * The flow by whose process a flow without a socket goes: for an ICMP reply the request's, for an
 * ICMP error that of the packet it quotes, else the same connection's other direction. Returns the
 * method that this is, or unknown where there is none.
 */
#define RELATED_KEY(name, key_type, version)                                                       \
	static __always_inline __u8 name(struct __sk_buff *skb, struct packet *p,                  \
					 const key_type *key, enum flow_side side,                 \
					 key_type *related)                                        \
	{                                                                                          \
		__u32 quote, transport_offset;                                                     \
		__u16 request;                                                                     \
                                                                                                   \
		*related = *key;                                                                   \
		__builtin_memcpy(related->source_address, key->destination_address,                \
				 sizeof(key->source_address));                                     \
		__builtin_memcpy(related->destination_address, key->source_address,                \
				 sizeof(key->source_address));                                     \
		/* Loopback is metered on its way out only, both directions. */                    \
		if (!(p->flags & FLOW_LOOPBACK))                                                   \
			related->direction_and_pid ^= DIRECTION_MASK;                              \
		if (!is_icmp(p->protocol)) {                                                       \
			if (!tracks_ports(p->protocol)) /* many connections: no one's reply */     \
				return ATTRIBUTION_UNKNOWN;                                        \
			related->source_port = key->destination_port;                              \
			related->destination_port = key->source_port;                              \
			return ATTRIBUTION_REVERSE_FLOW;                                           \
		}                                                                                  \
		if (side == SOURCE) /* what the kernel sends, it sends by its own socket */        \
			return ATTRIBUTION_UNKNOWN;                                                \
		if (!is_icmp_error(p->protocol, p->destination_port & 0xff)) {                     \
			request = icmp_request(p->protocol, p->destination_port);                  \
			if (tracks_ports(p->protocol))                                             \
				related->destination_port = request;                               \
			return request ? ATTRIBUTION_ICMP_ID : ATTRIBUTION_UNKNOWN;                \
		}                                                                                  \
		quote = quote_offset(p->transport_offset);                                         \
		related->protocol =                                                                \
			quoted_protocol(octets_of(skb), version, quote, &transport_offset);        \
		quote += version == 4 ? IPV4_ADDRESSES_OFFSET : IPV6_ADDRESSES_OFFSET;             \
		if (bpf_skb_load_bytes(skb, quote, related->source_address,                        \
				       sizeof(key->source_address)) ||                             \
		    bpf_skb_load_bytes(skb, quote + sizeof(key->source_address),                   \
				       related->destination_address,                               \
				       sizeof(key->source_address)) ||                             \
		    !load_quoted_ports(octets_of(skb), related->protocol, transport_offset,        \
				       &related->source_port, &related->destination_port))         \
			return ATTRIBUTION_UNKNOWN;                                                \
		return ATTRIBUTION_ICMP_ERROR;                                                     \
	}

/* The socket that sent the packet that an ICMP error quotes. */
#define ADOPT_QUOTED(name, key_type, version)                                                      \
	static __always_inline bool name(struct __sk_buff *skb, struct guarded_owner *known,       \
					 const key_type *quoted)                                   \
	{                                                                                          \
		struct bpf_sock *sk;                                                               \
		bool found;                                                                        \
                                                                                                   \
		if (quoted->protocol != IPPROTO_TCP && quoted->protocol != IPPROTO_UDP)            \
			return false;                                                              \
		sk = look_up_socket(skb, version, quoted->protocol, quoted->destination_address,   \
				    quoted->source_address, quoted->destination_port,              \
				    quoted->source_port);                                          \
		if (!sk)                                                                           \
			return false;                                                              \
		found = adopt_socket(sk, known, 0, ATTRIBUTION_ICMP_ERROR) == FOUND_OWNER;         \
		bpf_sk_release(sk);                                                                \
		return found;                                                                      \
	}

#endif
