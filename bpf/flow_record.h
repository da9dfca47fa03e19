/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Writes the flow_record that user space reads. */
#ifndef PROCFLOW_FLOW_RECORD_H
#define PROCFLOW_FLOW_RECORD_H

#include "far_owner.h"
#include "late_owner.h"

/* What identifies the flow, whichever map its key came from. */
#define FILL_FROM_KEY(record, key, version)                                                        \
	do {                                                                                       \
		__builtin_memcpy((record)->source_address, (key)->source_address,                  \
				 sizeof((key)->source_address));                                   \
		__builtin_memcpy((record)->destination_address, (key)->destination_address,        \
				 sizeof((key)->destination_address));                              \
		(record)->netns = tracks_link_layer() ? meter_settings.netns : (key)->scope;       \
		(record)->interface_index = (key)->interface_index;                                \
		(record)->source_port = (key)->source_port;                                        \
		(record)->destination_port = (key)->destination_port;                              \
		(record)->protocol = (key)->protocol;                                              \
		(record)->direction = KEY_DIRECTION(key);                                          \
		(record)->ip_version = (version);                                                  \
	} while (0)

/* ICMP has no ports: the key keeps its identifier and type in their place. */
static __always_inline void fill_icmp(struct flow_record *record)
{
	if (record->protocol != IPPROTO_ICMP && record->protocol != IPPROTO_ICMPV6)
		return;
	record->icmp_id = record->source_port;
	record->icmp_type_code = record->destination_port;
	record->source_port = 0;
}

static __always_inline void fill_traits(struct flow_record *record, __u64 traits)
{
	__u16 flags = traits >> FLAGS_SHIFT;

	record->max_length = traits;
	record->min_length = ~(traits >> MIN_LENGTH_SHIFT);
	record->max_ttl = traits >> MAX_TTL_SHIFT;
	record->min_ttl = ~(traits >> MIN_TTL_SHIFT);
	record->tcp_flags = flags & TCP_FLAGS_MASK;
	record->flags = flags >> FLOW_FLAGS_SHIFT;
}

/* What the entry has of packets up to `state`: it may be ahead of it, never behind. */
static __always_inline void fill_from_entry(struct flow_record *record, struct flow_entry *entry,
					    __u64 state)
{
	record->packets = (state >> PACKETS_SHIFT) + entry->more_packets;
	record->octets = (state & STATE_OCTETS) + entry->more_octets;
	record->first_ns = entry->first_ns;
	record->last_ns = entry->last_ns;
	if (record->first_ns > record->last_ns) /* two CPUs began at once */
		record->first_ns = record->last_ns;
	fill_traits(record, *page_of(entry, state));
	record->tos = entry->tos_and_tags;
	record->vlan_id = entry->tos_and_tags >> OUTER_TAG_SHIFT & VLAN_ID_MASK;
	record->inner_vlan_id = entry->tos_and_tags >> INNER_TAG_SHIFT;
	__builtin_memcpy(record->destination_mac, &entry->macs[0], MAC_LENGTH);
	__builtin_memcpy(record->source_mac, &entry->macs[MAC_LENGTH], MAC_LENGTH);
}

/* Who of the processes on one unconnected UDP socket talked to this flow's peer. */
static __always_inline bool owner_by_peer(const struct flow_record *record, __u64 cookie,
					  enum flow_side side, struct process_owner *owner)
{
	struct peer_key peer = {.cookie = cookie};
	struct process_owner *known;

	if (record->protocol != IPPROTO_UDP)
		return false;
	if (side == SOURCE) {
		__builtin_memcpy(peer.address, record->destination_address, ADDRESS_LENGTH);
		peer.port = record->destination_port;
	} else {
		__builtin_memcpy(peer.address, record->source_address, ADDRESS_LENGTH);
		peer.port = record->source_port;
	}
	known = bpf_map_lookup_elem(&peer_owners, &peer);
	if (!known)
		return false;
	*owner = *known;
	return true;
}

/* The receiver of a flow without one, if its socket was noted only after the packets had come. */
static __always_inline void fill_noted_receiver(struct flow_record *record)
{
	struct receiver_key key = receiver_key(record->netns, record->ip_version, record->protocol,
					       record->destination_port);
	struct receiver *receiver;

	if (record->destination.reason != REASON_NO_SOCKET)
		return;
	receiver = bpf_map_lookup_elem(&receivers, &key);
	if (receiver && record->last_ns + LATE_OWNER_GRACE_NS >= receiver->opened_ns &&
	    (!receiver->released_ns || record->last_ns < receiver->released_ns)) {
		record->destination = receiver->owner;
	} else if (!has_ports(record->protocol)) {
		record->destination.method = ATTRIBUTION_KERNEL;
		record->destination.reason = 0;
	}
}

/*
 * Which of several processes received a datagram is known by its peer alone. It was noted, and has
 * been evicted; what the flow took from the socket is merely who used it last.
 */
static __always_inline bool is_forgotten_peer(const struct flow_record *record,
					      const struct process_owner *known,
					      const struct late_owner *late, enum flow_side side)
{
	return record->protocol == IPPROTO_UDP && side == DESTINATION &&
	       known->flags & OWNER_SHARED && late->owner.flags & OWNER_BY_PEER;
}

/* The last word on whose the flow was: what was noted since its packets passed counts. */
static __always_inline void fill_owner(const struct flow_record *record, struct guarded_owner *from,
				       enum flow_side side, struct process_owner *to)
{
	/* A copy: before kernel 6.2 an iterator may not give a helper a key in the map it walks. */
	__u64 cookie = from->cookie;
	struct process_owner owner;
	struct late_owner *late;

	if (!read_owner(from, to)) {
		__builtin_memset(to, 0, sizeof(*to));
		to->reason = REASON_OWNER_CHANGING;
	}
	if (!cookie)
		return;
	late = bpf_map_lookup_elem(&late_owners, &cookie);
	if (!late)
		return;
	if (late->owner.flags & OWNER_SHARED) {
		if (owner_by_peer(record, cookie, side, to))
			return;
		if (is_forgotten_peer(record, to, late, side)) {
			__builtin_memset(to, 0, sizeof(*to));
			to->reason = REASON_SHARED;
			return;
		}
	}
	owner = late->owner;
	if (is_late_owner_of(late, cookie, to, record->last_ns))
		*to = owner;
}

/* @far: NULL where that end is on another host */
static __always_inline void fill_owners(struct flow_record *record, struct flow_entry *entry,
					struct end_owner *far)
{
	if (record->direction == FLOW_EGRESS) {
		fill_owner(record, &entry->near.owner, SOURCE, &record->source);
		if (far)
			fill_owner(record, &far->owner, DESTINATION, &record->destination);
	} else {
		fill_owner(record, &entry->near.owner, DESTINATION, &record->destination);
		if (far)
			fill_owner(record, &far->owner, SOURCE, &record->source);
	}
	fill_noted_receiver(record);
}

#endif
