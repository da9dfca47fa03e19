/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Gives a flow its process. Egress: the packet's own socket (packet_sender.h). Ingress, and the
 * receiving end of loopback: the socket that the packet is going to find (packet_receiver.h).
 * Where there is no socket: what other packets of the same conversation say, and if nothing does,
 * why there is no process.
 */
#ifndef PROCFLOW_FLOW_OWNER_H
#define PROCFLOW_FLOW_OWNER_H

#include "related_flow.h"

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

/*
 * Where a packet is looked for in the flow of another one, whose process it does not know: what
 * answers a ping; and at sockets what comes in on loopback, which was metered on its way out.
 */
static __always_inline bool is_without_pid(const struct packet *p)
{
	return is_icmp(p->protocol) || (meter_settings.at_sockets && p->flags & FLOW_LOOPBACK);
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
