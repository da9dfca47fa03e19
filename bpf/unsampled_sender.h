/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * With sampling at sockets, what the flow cache cannot tell: that a flow has left a socket although
 * none of its packets was selected. Asked where a packet comes in that may have been seen on its
 * way out, or that answers one.
 */
#ifndef PROCFLOW_UNSAMPLED_SENDER_H
#define PROCFLOW_UNSAMPLED_SENDER_H

#include "flow_cache.h"
#include "meter_settings.h"

/* The loader makes them as small as can be where nothing is sampled. */
#define UNSAMPLED_SENDERS(name, key_type)                                                          \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);                                               \
		__uint(max_entries, 8192);                                                         \
		__type(key, key_type);                                                             \
		__type(value, __u64); /* the socket's cookie */                                    \
	} name SEC(".maps");

UNSAMPLED_SENDERS(unsampled_v4, struct flow_key_v4)
UNSAMPLED_SENDERS(unsampled_v6, struct flow_key_v6)

#define NOTE_UNSAMPLED(name, map, key_type)                                                        \
	__noinline int name(struct __sk_buff *skb, struct packet *p)                               \
	{                                                                                          \
		__u64 cookie = bpf_get_socket_cookie(skb);                                         \
		key_type key;                                                                      \
                                                                                                   \
		if (!p)                                                                            \
			return 0;                                                                  \
		MAKE_KEY(&key, p, FLOW_EGRESS);                                                    \
		return bpf_map_update_elem(&map, &key, &cookie, BPF_ANY);                          \
	}

NOTE_UNSAMPLED(note_unsampled_v4, unsampled_v4, struct flow_key_v4)
NOTE_UNSAMPLED(note_unsampled_v6, unsampled_v6, struct flow_key_v6)

/* The senders of TCP and UDP are found by their sockets instead. */
static __always_inline void note_unsampled(struct __sk_buff *skb, struct packet *p, __u8 direction)
{
	if (direction != FLOW_EGRESS || p->protocol == IPPROTO_TCP || p->protocol == IPPROTO_UDP)
		return;
	if (p->ip_version == 4)
		note_unsampled_v4(skb, p);
	else
		note_unsampled_v6(skb, p);
}

/* 0 where there is none. */
static __always_inline __u64 unsampled_cookie(void *map, const void *key)
{
	__u64 *cookie = meter_settings.sampling ? bpf_map_lookup_elem(map, key) : NULL;

	return cookie ? *cookie : 0;
}

#endif
