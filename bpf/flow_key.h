/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What identifies a flow. How much of a packet that is says the track level
 * (docs/adr/0017-track-levels.md).
 */
#ifndef PROCFLOW_FLOW_KEY_H
#define PROCFLOW_FLOW_KEY_H

#include "packet.h"
#include "sip_hash.h"

struct flow_key_v4 {
	__u8 source_address[4];
	__u8 destination_address[4];
	__u32 scope; /* scope_of() */
	__u32 interface_index;
	__u16 source_port;	/* ICMP: identifier of an echo */
	__u16 destination_port; /* ICMP: type * 256 + code */
	__u8 protocol;
	__u8 direction_and_pid; /* the direction, and the pid's upper bits */
	__u16 pid;		/* its lower bits; 0 unless processes are tracked */
};

struct flow_key_v6 {
	__u8 source_address[ADDRESS_LENGTH];
	__u8 destination_address[ADDRESS_LENGTH];
	__u32 scope;
	__u32 interface_index;
	__u16 source_port;
	__u16 destination_port;
	__u8 protocol;
	__u8 direction_and_pid;
	__u16 pid;
};

/* Hashed as raw octets: no padding but what is written. */
_Static_assert(sizeof(struct flow_key_v4) == 24, "flow_key_v4");
_Static_assert(sizeof(struct flow_key_v6) == 48, "flow_key_v6");

#define DIRECTION_MASK 1    /* enum flow_direction; a pid has at most 22 bits (PID_MAX_LIMIT) */
#define WIDENED_MASK   0x80 /* an IPv4 key in the form of IPv6 */

static __always_inline bool tracks_link_layer(void)
{
	return meter_settings.track_level == TRACK_VLAN ||
	       meter_settings.track_level == TRACK_ETHERNET;
}

/*
 * At sockets ICMP keeps its type and identifier at every level: by them the copies of a reply,
 * which each raw socket gets, are told from it.
 */
static __always_inline bool tracks_ports(__u8 protocol)
{
	return meter_settings.track_level < TRACK_PROTOCOL ||
	       (meter_settings.at_sockets && is_icmp(protocol));
}

static __always_inline __u8 tracked_protocol(__u8 protocol)
{
	if (meter_settings.track_level == TRACK_IP && !tracks_ports(protocol))
		return 0;
	return protocol;
}

/*
 * Of both MAC addresses and the VLAN tags, the same for the way back: 32 bits, because only flows
 * that agree in all else must differ. A global function, to have a stack of its own.
 */
__noinline int hash_link_layer(struct packet *p)
{
	struct sip_state s = sip_begin();
	__u64 first = 0, second = 0;

	if (!p)
		return 0;
	__builtin_memcpy(&first, &p->macs[0], MAC_LENGTH);
	__builtin_memcpy(&second, &p->macs[MAC_LENGTH], MAC_LENGTH);
	sip_word(&s, first < second ? first : second);
	sip_word(&s, first < second ? second : first);
	sip_word(&s, p->vlan_id | (__u64)p->inner_vlan_id << 16);
	return sip_end(&s, 3 * sizeof(__u64));
}

/*
 * Where the addresses are valid: the network namespace. Interfaces are metered in one alone, so
 * that the link layer can have its place.
 */
static __always_inline __u32 scope_of(struct packet *p)
{
	if (meter_settings.track_level == TRACK_ETHERNET)
		return hash_link_layer(p);
	if (meter_settings.track_level == TRACK_VLAN)
		return p->vlan_id | (__u32)p->inner_vlan_id << 16;
	return p->netns;
}

/* A macro, because the keys differ in the length of their addresses. */
#define MAKE_KEY(key, packet, way)                                                                 \
	do {                                                                                       \
		__builtin_memset((key), 0, sizeof(*(key)));                                        \
		__builtin_memcpy((key)->source_address, (packet)->source_address,                  \
				 sizeof((key)->source_address));                                   \
		__builtin_memcpy((key)->destination_address, (packet)->destination_address,        \
				 sizeof((key)->destination_address));                              \
		(key)->scope = scope_of(packet);                                                   \
		(key)->interface_index = (packet)->interface_index;                                \
		if (tracks_ports((packet)->protocol)) {                                            \
			(key)->source_port = (packet)->source_port;                                \
			(key)->destination_port = (packet)->destination_port;                      \
		}                                                                                  \
		(key)->protocol = tracked_protocol((packet)->protocol);                            \
		(key)->direction_and_pid = (way);                                                  \
	} while (0)

#define KEY_DIRECTION(key) ((key)->direction_and_pid & DIRECTION_MASK)

#define ADD_PID(key, process_id)                                                                   \
	do {                                                                                       \
		(key)->pid = (process_id);                                                         \
		(key)->direction_and_pid |= (process_id) >> 16 << 1;                               \
	} while (0)

#endif
