/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Writes the flow_record that user space reads, from a page of an entry or from one packet. */
#ifndef PROCFLOW_FLOW_RECORD_H
#define PROCFLOW_FLOW_RECORD_H

#include "flow_cache.h"
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

static __always_inline void fill_from_page(struct flow_record *record, struct flow_entry *entry,
					   const struct flow_page *page, __u64 packets, __u8 reason)
{
	record->packets = packets;
	record->octets = page->octets_and_writers & OCTETS_MASK;
	record->first_ns = page->first_ns;
	record->last_ns = page->last_ns;
	if (record->first_ns > record->last_ns) /* two CPUs began the page at once */
		record->first_ns = record->last_ns;
	record->min_length = page->length_range >> 16;
	record->max_length = page->length_range;
	record->min_ttl = page->ttl_range >> 16;
	record->max_ttl = page->ttl_range;
	record->tcp_flags = page->tcp_flags;
	record->flags = page->flags;
	record->end_reason = reason;
	record->vlan_id = entry->vlan_id;
	record->inner_vlan_id = entry->inner_vlan_id;
	record->tos = entry->tos;
	__builtin_memcpy(record->destination_mac, &entry->macs[0], MAC_LENGTH);
	__builtin_memcpy(record->source_mac, &entry->macs[MAC_LENGTH], MAC_LENGTH);
}

/* The record of one packet that has no entry. */
static __always_inline void fill_from_packet(struct flow_record *record, const struct packet *p,
					     __u64 now)
{
	record->packets = p->segments;
	record->octets = p->octets;
	record->first_ns = now;
	record->last_ns = now;
	record->min_length = p->min_length;
	record->max_length = p->max_length;
	record->min_ttl = p->ttl;
	record->max_ttl = p->ttl;
	record->tcp_flags = p->tcp_flags;
	record->flags = p->flags;
	record->end_reason = FLOW_END_LACK_OF_RESOURCES;
	record->vlan_id = p->vlan_id;
	record->inner_vlan_id = p->inner_vlan_id;
	record->tos = p->tos;
	__builtin_memcpy(record->destination_mac, &p->macs[0], MAC_LENGTH);
	__builtin_memcpy(record->source_mac, &p->macs[MAC_LENGTH], MAC_LENGTH);
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

static __always_inline void fill_owners(struct flow_record *record, struct flow_owners *owners)
{
	fill_owner(record, &owners->ends[0], SOURCE, &record->source);
	fill_owner(record, &owners->ends[1], DESTINATION, &record->destination);
	fill_noted_receiver(record);
}

#endif
