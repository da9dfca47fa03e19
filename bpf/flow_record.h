/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Writes the flow_record that user space reads, from a page of an entry or from one packet. */
#ifndef PROCFLOW_FLOW_RECORD_H
#define PROCFLOW_FLOW_RECORD_H

#include "flow_cache.h"

/* What identifies the flow, whichever map its key came from. */
#define FILL_FROM_KEY(record, key, version)                                                        \
	do {                                                                                       \
		__builtin_memcpy((record)->source_address, (key)->source_address,                  \
				 sizeof((key)->source_address));                                   \
		__builtin_memcpy((record)->destination_address, (key)->destination_address,        \
				 sizeof((key)->destination_address));                              \
		(record)->netns = (key)->netns;                                                    \
		(record)->interface_index = (key)->interface_index;                                \
		(record)->source_port = (key)->source_port;                                        \
		(record)->destination_port = (key)->destination_port;                              \
		(record)->protocol = (key)->protocol;                                              \
		(record)->direction = (key)->direction;                                            \
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

static __always_inline void fill_owner(struct guarded_owner *from, __u64 last_ns,
				       struct process_owner *to)
{
	struct process_owner late;

	if (!read_owner(from, to))
		__builtin_memset(to, 0, sizeof(*to));
	if (late_owner_of(from->cookie, to, last_ns, &late))
		*to = late;
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
	fill_owner(&entry->owners[SOURCE], record->last_ns, &record->source);
	fill_owner(&entry->owners[DESTINATION], record->last_ns, &record->destination);
}

#endif
