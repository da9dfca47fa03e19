/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Gives a flow its process. Egress: the packet's own socket (packet_sender.h). Ingress, and the
 * receiving end of loopback: the socket that the packet is going to find (packet_receiver.h).
 * Where there is no socket: what other packets of the same conversation say, and if nothing does,
 * why there is no process.
 */
#ifndef PROCFLOW_FLOW_OWNER_H
#define PROCFLOW_FLOW_OWNER_H

#include "found_owner.h"
#include "icmp_quote.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

#define OWNER_RECHECK_NS    (1000 * 1000 * 1000ULL) /* an owner seen using its socket */
#define OWNER_RETRY_NS	    (10 * 1000 * 1000ULL)   /* one that may yet get better */
#define ABANDONED_NS	    (10 * 1000 * 1000 * 1000ULL)
#define OWNER_EAGER_PACKETS 16 /* so many first packets try without waiting */

static __always_inline bool has_side(const struct packet *p, enum flow_side side, __u8 direction)
{
	return p->flags & FLOW_LOOPBACK ||
	       side == (direction == FLOW_EGRESS ? SOURCE : DESTINATION);
}

/* At which end the packet's own socket (skb->sk) stands; on ingress TC it has none yet. */
static __always_inline enum flow_side own_side(const struct packet *p)
{
	return p->at_receiver ? DESTINATION : SOURCE;
}

static __always_inline const struct guarded_owner *own_owner(const struct flow_owners *owners,
							     const struct packet *p)
{
	return p->at_receiver ? &owners->ends[1] : &owners->ends[0];
}

/* Another socket on the same ports; a packet without one says nothing. */
static __always_inline bool has_another_socket(struct __sk_buff *skb,
					       const struct guarded_owner *known)
{
	__u64 cookie;

	if (known->owner.method == ATTRIBUTION_KERNEL) /* time alone makes it look again */
		return false;
	cookie = bpf_get_socket_cookie(skb);
	return cookie && cookie != known->cookie;
}

/* Whether this packet should look for its process again. */
static __always_inline bool owner_is_due(const struct flow_entry *entry, enum flow_side side,
					 const struct packet *p, __u64 now)
{
	__u64 since = now - entry->owners.checked_ns;

	if (p->tcp_flags & TCP_SYN) /* a new connection on an old flow's ports */
		return true;
	if (entry->owners.ends[side].owner.flags & OWNER_USED)
		return since >= OWNER_RECHECK_NS;
	return since >= OWNER_RETRY_NS || entry->state >> WRITER_SHIFT <= OWNER_EAGER_PACKETS;
}

static __always_inline bool owners_are_due(struct __sk_buff *skb, const struct flow_entry *entry,
					   const struct packet *p, __u8 direction, __u64 now)
{
	if (has_side(p, own_side(p), direction) &&
	    has_another_socket(skb, own_owner(&entry->owners, p)))
		return true;
	return (has_side(p, SOURCE, direction) && owner_is_due(entry, SOURCE, p, now)) ||
	       (has_side(p, DESTINATION, direction) && owner_is_due(entry, DESTINATION, p, now));
}

/* A flow without a process: whose it is instead, or why that is not known. */
static __always_inline void note_nobody(struct guarded_owner *known, enum find_result result)
{
	struct process_owner nobody = {};

	switch (result) {
	case FOUND_KERNEL:
		nobody.method = ATTRIBUTION_KERNEL;
		break;
	case FOUND_FORWARDED:
		nobody.method = ATTRIBUTION_FORWARDED;
		break;
	case FOUND_NO_OWNER:
		nobody.reason = REASON_NO_OWNER;
		break;
	case FOUND_CHANGING:
		nobody.reason = REASON_OWNER_CHANGING;
		break;
	case FOUND_FRAGMENT:
		nobody.reason = REASON_FRAGMENT;
		break;
	default:
		nobody.reason = REASON_NO_SOCKET;
	}
	if (known->owner.method != nobody.method || known->owner.reason != nobody.reason)
		write_owner(known, &nobody, known->cookie);
}

/* From another flow's end: a process, or that there is none. */
static __always_inline bool adopt_end(struct guarded_owner *known, struct flow_entry *flow,
				      enum flow_side side, __u8 method)
{
	struct guarded_owner *other =
		side == SOURCE ? &flow->owners.ends[0] : &flow->owners.ends[1];

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
					  struct flow_entry *reverse, enum flow_side side)
{
	const struct process_owner *other =
		side == SOURCE ? &reverse->owners.ends[0].owner : &reverse->owners.ends[1].owner;

	if (other->method == ATTRIBUTION_FORWARDED)
		return true;
	return other->method == ATTRIBUTION_SOCKET && !same_process(other, &known->owner) &&
	       (other->flags & OWNER_USED || known->owner.method == ATTRIBUTION_LISTENER);
}

/* A peer that goes on sending datagrams to a socket that is closed: they are nobody's. */
static __always_inline bool is_abandoned(const struct flow_owners *owners, const struct packet *p,
					 enum flow_side side, enum find_result result, __u64 now)
{
	return result == FOUND_KERNEL && side == DESTINATION && p->protocol == IPPROTO_UDP &&
	       now - owners->received_ns > ABANDONED_NS;
}

/* An owner that was found, but not seen using its socket. */
static __always_inline bool is_weak(const struct guarded_owner *known)
{
	return known->owner.method == ATTRIBUTION_LISTENER || !(known->owner.flags & OWNER_USED);
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

/*
 * Where a packet is looked for in the flow of another one, whose process it does not know: what
 * answers a ping; and at sockets what comes in on loopback, which was metered on its way out.
 */
static __always_inline bool is_without_pid(const struct packet *p)
{
	return is_icmp(p->protocol) || (meter_settings.at_sockets && p->flags & FLOW_LOOPBACK);
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

/*
 * Gives the ends of a flow that are on this host their processes. Macros, because the verifier
 * wants to see which map a lookup goes to, and the keys differ; a global function, which is
 * verified once by itself.
 * @find: finds the socket of an end, in its capture mode's way
 */
#define ATTRIBUTE(name, map, key_type, version, find)                                              \
	RELATED_KEY(name##_related_key, key_type, version)                                         \
	ADOPT_QUOTED(name##_quoted, key_type, version)                                             \
                                                                                                   \
	static __always_inline void name##_related(                                                \
		struct __sk_buff *skb, struct packet *p, struct guarded_owner *known,              \
		const key_type *key, enum flow_side side, enum find_result result, __u64 now)      \
	{                                                                                          \
		struct flow_entry *other;                                                          \
		key_type related;                                                                  \
		__u8 method;                                                                       \
                                                                                                   \
		method = name##_related_key(skb, p, key, side, &related);                          \
		other = method ? bpf_map_lookup_elem(&map, &related) : NULL;                       \
		if (result == FOUND_OWNER) {                                                       \
			if (method == ATTRIBUTION_REVERSE_FLOW && other &&                         \
			    is_better_end(known, other, !side))                                    \
				adopt_end(known, other, !side, method);                            \
			else if (known->owner.method == ATTRIBUTION_LISTENER)                      \
				adopt_closed(known, p, side, now);                                 \
			return;                                                                    \
		}                                                                                  \
		if (other &&                                                                       \
		    adopt_end(known, other, method == ATTRIBUTION_REVERSE_FLOW ? !side : SOURCE,   \
			      method))                                                             \
			return;                                                                    \
		if (method == ATTRIBUTION_ICMP_ERROR && name##_quoted(skb, known, &related))       \
			return;                                                                    \
		if (adopt_closed(known, p, side, now))                                             \
			return;                                                                    \
		note_nobody(known, result);                                                        \
	}                                                                                          \
                                                                                                   \
	static __always_inline void name##_side(struct __sk_buff *skb, struct packet *p,           \
						struct flow_owners *owners, const key_type *key,   \
						enum flow_side side, __u64 now)                    \
	{                                                                                          \
		struct guarded_owner *known = &owners->ends[side];                                 \
		enum find_result result = find(skb, p, side, known);                               \
                                                                                                   \
		if (result == FOUND_OWNER) {                                                       \
			if (side == DESTINATION)                                                   \
				owners->received_ns = now;                                         \
			if (!is_weak(known) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)    \
				return;                                                            \
		} else if (known->owner.pid) {                                                     \
			/* It had one as long as its socket was there, and a while longer. */      \
			if (is_abandoned(owners, p, side, result, now)) {                          \
				known->cookie = 0; /* what is noted of the socket is over */       \
				note_nobody(known, result);                                        \
			}                                                                          \
			return;                                                                    \
		} else if (result == FOUND_FORWARDED || result == FOUND_FRAGMENT) {                \
			note_nobody(known, result);                                                \
			return;                                                                    \
		}                                                                                  \
		name##_related(skb, p, known, key, side, result, now);                             \
	}                                                                                          \
                                                                                                   \
	/* For flows that are told apart by their process; of loopback, by the sender. */          \
	__noinline int name##_pid(struct __sk_buff *skb, struct packet *p, __u8 direction)         \
	{                                                                                          \
		struct guarded_owner known = {};                                                   \
		enum flow_side side;                                                               \
                                                                                                   \
		if (!p || is_without_pid(p))                                                       \
			return 0;                                                                  \
		side = direction == FLOW_EGRESS ? SOURCE : DESTINATION;                            \
		find(skb, p, side, &known);                                                        \
		if (!known.owner.pid && p->protocol == IPPROTO_TCP &&                              \
		    !adopt_closed(&known, p, side, bpf_ktime_get_boot_ns()))                       \
			adopt_local_socket(skb, version, p, side, &known);                         \
		return known.owner.pid;                                                            \
	}                                                                                          \
                                                                                                   \
	__noinline int name(struct __sk_buff *skb, struct packet *p, struct flow_owners *owners,   \
			    key_type *key, __u64 now)                                              \
	{                                                                                          \
		if (!p || !owners || !key)                                                         \
			return 0;                                                                  \
		if (has_side(p, SOURCE, KEY_DIRECTION(key)))                                       \
			name##_side(skb, p, owners, key, SOURCE, now);                             \
		if (has_side(p, DESTINATION, KEY_DIRECTION(key)))                                  \
			name##_side(skb, p, owners, key, DESTINATION, now);                        \
		owners->checked_ns = now;                                                          \
		return 0;                                                                          \
	}

#endif
