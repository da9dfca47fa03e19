/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * What is learned of a socket's owner only after its packets have passed, or beside its storage:
 * written in the context of processes, read when a flow gets its process or expires.
 */
#ifndef PROCFLOW_LATE_OWNER_H
#define PROCFLOW_LATE_OWNER_H

#include "process_owner.h"

/* How long after a packet the call that caused it may still be noted: see is_late_owner_of. */
#define LATE_OWNER_GRACE_NS (100 * 1000 * 1000ULL)

/* As long as TIME_WAIT lasts, twice: packets that come later belong to nobody. */
#define CLOSED_LIFETIME_NS (120 * 1000 * 1000 * 1000ULL)

struct late_owner {
	__u64 cookie;
	__u64 since_ns;
	struct process_owner owner;
	__u8 replaced_user; /* the owner before this one had been seen using the socket */
	__u8 padding[7];
};

/*
 * Owners that were not known, or other ones, when the socket's last packet was metered: the send
 * and receive hooks run after the packet has passed. Read when a flow expires, by socket cookie.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct late_owner);
} late_owners SEC(".maps");

struct peer_key {
	__u64 cookie;
	__u8 address[ADDRESS_LENGTH]; /* IPv4: mapped into IPv6 where the socket is */
	__u16 port;		      /* network order */
	__u8 padding[6];
};

/*
 * An unconnected UDP socket that several processes use has no single owner: who of them talks to
 * which peer. Written before a datagram leaves, and when one has been received.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct peer_key);
	__type(value, struct process_owner);
} peer_owners SEC(".maps");

/* Seen from this host; an IPv4 address fills the first four octets. */
struct connection_key {
	__u8 local_address[ADDRESS_LENGTH];
	__u8 remote_address[ADDRESS_LENGTH];
	__u32 netns;
	__u16 local_port; /* network order */
	__u16 remote_port;
};

struct closed_connection {
	__u64 closed_ns;
	__u64 cookie;
	struct process_owner owner; /* as a late packet takes it over */
};

/* Of TCP connections whose socket is gone: retransmissions and TIME_WAIT still have packets. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct connection_key);
	__type(value, struct closed_connection);
} closed_connections SEC(".maps");

struct receiver_key {
	__u32 netns;
	__u16 port; /* local one, network order; 0 for raw sockets */
	__u8 ip_version;
	__u8 protocol;
};

struct receiver {
	__u64 cookie;
	__u64 opened_ns;   /* when it was first seen */
	__u64 released_ns; /* 0: it is open */
	struct process_owner owner;
};

/*
 * Who last opened or used a socket that no helper looks up: a raw socket, which receives all of
 * its protocol, or one of UDP-Lite, SCTP and DCCP, by its port.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct receiver_key);
	__type(value, struct receiver);
} receivers SEC(".maps");

static __always_inline bool has_ports(__u8 protocol)
{
	return protocol == IPPROTO_SCTP || protocol == IPPROTO_DCCP || protocol == IPPROTO_UDPLITE;
}

static __always_inline struct receiver_key receiver_key(__u32 netns, __u8 ip_version, __u8 protocol,
							__u16 port)
{
	struct receiver_key key = {
		.netns = netns,
		.port = port,
		.ip_version = ip_version,
		.protocol = protocol,
	};

	return key;
}

/*
 * The owner that the socket got around or after a flow's last packet. Another process may use the
 * socket for another flow later. So where one process took the socket over from another that had
 * used it, only flows take it that had a packet within the duration of a call before, and none
 * where the call named its peer: then peer_owners has the flow of that call.
 */
static __always_inline bool is_late_owner_of(const struct late_owner *late, __u64 cookie,
					     const struct process_owner *known, __u64 last_ns)
{
	if (known->pid && late->owner.flags & OWNER_BY_PEER)
		return false;
	if ((known->flags & OWNER_USED || late->replaced_user) &&
	    late->since_ns > last_ns + LATE_OWNER_GRACE_NS)
		return false;
	/* An element can be reused while it is read: then it carries another cookie. */
	return *(volatile __u64 *)&late->cookie == cookie;
}

#endif
