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

/* In coarse time, about milliseconds. */
#define OWNER_RECHECK	    1000 /* an owner seen using its socket */
#define OWNER_RETRY	    10	 /* one that may yet get better */
#define ABANDONED	    10000
#define OWNER_EAGER_PACKETS 16 /* so many first packets try without waiting */

/* At which end the packet's own socket (skb->sk) stands; on ingress TC it has none yet. */
static __always_inline enum flow_side own_side(const struct packet *p)
{
	return p->at_receiver ? DESTINATION : SOURCE;
}

/* Reading it is cheaper than the helper, which makes one where there is none. */
static __always_inline __u64 cookie_of_packet(struct __sk_buff *skb)
{
	__u64 cookie = 0;
	struct sock *sk;

	if (meter_settings.can_cast) {
		sk = ((struct sk_buff *)bpf_cast_to_kern_ctx(skb))->sk;
		if (!sk)
			return 0;
		cookie = sk->__sk_common.skc_cookie.counter;
	}
	return cookie ?: bpf_get_socket_cookie(skb);
}

/* Another socket on the same ports; a packet without one says nothing. */
static __always_inline bool has_another_socket(struct __sk_buff *skb,
					       const struct guarded_owner *known)
{
	__u64 cookie;

	if (known->owner.method == ATTRIBUTION_KERNEL) /* time alone makes it look again */
		return false;
	cookie = cookie_of_packet(skb);
	return cookie && cookie != known->cookie;
}

static __always_inline bool is_used(const struct end_owner *end)
{
	return end->owner.owner.flags & OWNER_USED;
}

/*
 * Whether this packet should look for the process of an end again.
 * @packets: of the flow so far
 */
static __always_inline bool owner_is_due(const struct end_owner *end, const struct packet *p,
					 __u64 packets, __u64 now)
{
	if (p->tcp_flags & TCP_SYN) /* a new connection on an old flow's ports */
		return true;
	return (__s32)(coarse_time(now) - end->due) >= 0 ||
	       (packets <= OWNER_EAGER_PACKETS && !is_used(end));
}

/* Whether a flow's processes are to be looked for again, by this packet or by the time. */
static __always_inline bool owners_are_due(struct __sk_buff *skb, const struct packet *p,
					   const struct flow_entry *entry,
					   const struct end_owner *far, __u8 direction, __u64 now)
{
	__u64 packets = entry->state >> PACKETS_SHIFT;
	const struct end_owner *own = &entry->near;

	if (own_side(p) != near_side(direction))
		own = far;
	return (own && has_another_socket(skb, &own->owner)) ||
	       owner_is_due(&entry->near, p, packets, now) ||
	       (far && owner_is_due(far, p, packets, now));
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
static __always_inline bool is_abandoned(const struct end_owner *end, const struct packet *p,
					 enum flow_side side, enum find_result result, __u64 now)
{
	return result == FOUND_KERNEL && side == DESTINATION && p->protocol == IPPROTO_UDP &&
	       coarse_time(now) - end->received > ABANDONED;
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
		struct end_owner *end = NULL;                                                      \
		struct flow_entry *other;                                                          \
		key_type related;                                                                  \
		__u8 method;                                                                       \
                                                                                                   \
		method = name##_related_key(skb, p, key, side, &related);                          \
		other = method ? bpf_map_lookup_elem(&map, &related) : NULL;                       \
		if (other && (method == ATTRIBUTION_REVERSE_FLOW ? !side : SOURCE) ==              \
				     near_side(KEY_DIRECTION(&related)))                           \
			end = &other->near;                                                        \
		else if (other && p->flags & FLOW_LOOPBACK)                                        \
			end = far_owner_v##version(&related, false);                               \
		if (result == FOUND_OWNER) {                                                       \
			if (method == ATTRIBUTION_REVERSE_FLOW && end &&                           \
			    is_better_end(known, end))                                             \
				adopt_end(known, end, method);                                     \
			else if (known->owner.method == ATTRIBUTION_LISTENER)                      \
				adopt_closed(known, p, side, now);                                 \
			return;                                                                    \
		}                                                                                  \
		if (end && adopt_end(known, end, method))                                          \
			return;                                                                    \
		if (method == ATTRIBUTION_ICMP_ERROR && name##_quoted(skb, known, &related))       \
			return;                                                                    \
		if (adopt_closed(known, p, side, now))                                             \
			return;                                                                    \
		note_nobody(known, result);                                                        \
	}                                                                                          \
                                                                                                   \
	static __always_inline void name##_side(struct __sk_buff *skb, struct packet *p,           \
						struct end_owner *end, const key_type *key,        \
						enum flow_side side, __u64 now)                    \
	{                                                                                          \
		struct guarded_owner *known = &end->owner;                                         \
		enum find_result result = find(skb, p, side, known);                               \
                                                                                                   \
		if (result == FOUND_OWNER) {                                                       \
			if (side == DESTINATION)                                                   \
				end->received = coarse_time(now);                                  \
			if (!is_weak(known) || (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN)    \
				return;                                                            \
		} else if (known->owner.pid) {                                                     \
			/* It had one as long as its socket was there, and a while longer. */      \
			if (is_abandoned(end, p, side, result, now)) {                             \
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
	/* Once for each side: the verifier would follow both with what each of them finds. */     \
	__noinline int name##_source(struct __sk_buff *skb, struct packet *p,                      \
				     struct end_owner *end, key_type *key, __u64 now)              \
	{                                                                                          \
		if (p && end && key)                                                               \
			name##_side(skb, p, end, key, SOURCE, now);                                \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	__noinline int name##_destination(struct __sk_buff *skb, struct packet *p,                 \
					  struct end_owner *end, key_type *key, __u64 now)         \
	{                                                                                          \
		if (p && end && key)                                                               \
			name##_side(skb, p, end, key, DESTINATION, now);                           \
		return 0;                                                                          \
	}                                                                                          \
                                                                                                   \
	static __always_inline void name##_end(struct __sk_buff *skb, struct packet *p,            \
					       struct end_owner *end, key_type *key,               \
					       enum flow_side side, __u64 now)                     \
	{                                                                                          \
		if (side == SOURCE)                                                                \
			name##_source(skb, p, end, key, now);                                      \
		else                                                                               \
			name##_destination(skb, p, end, key, now);                                 \
		end->due = coarse_time(now) + (is_used(end) ? OWNER_RECHECK : OWNER_RETRY);        \
	}                                                                                          \
                                                                                                   \
	static __always_inline void name(struct __sk_buff *skb, struct packet *p,                  \
					 struct end_owner *near, struct end_owner *far,            \
					 key_type *key, __u64 now)                                 \
	{                                                                                          \
		enum flow_side side = near_side(KEY_DIRECTION(key));                               \
                                                                                                   \
		name##_end(skb, p, near, key, side, now);                                          \
		if (far)                                                                           \
			name##_end(skb, p, far, key, !side, now);                                  \
	}

#endif
