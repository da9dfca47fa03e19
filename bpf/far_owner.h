/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Whose the far end of a flow is. The near end, where the flow is metered, stands in its entry; the
 * far end is on this host only on loopback, and costs nothing elsewhere.
 */
#ifndef PROCFLOW_FAR_OWNER_H
#define PROCFLOW_FAR_OWNER_H

#include "flow_cache.h"

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, DEFAULT_MAX_FLOWS);
	__type(key, struct flow_key_v6); /* of IPv4 too: widen_key */
	__type(value, struct end_owner);
} far_owners SEC(".maps");

static const struct end_owner unknown_end;

static __always_inline enum flow_side near_side(__u8 direction)
{
	return direction == FLOW_EGRESS ? SOURCE : DESTINATION;
}

/* NULL where there is none, or no room. Not inlined, to have a stack of its own. */
static __noinline struct end_owner *far_owner_v6(const struct flow_key_v6 *key, bool create)
{
	struct end_owner *end = bpf_map_lookup_elem(&far_owners, key);

	if (end || !create)
		return end;
	bpf_map_update_elem(&far_owners, key, &unknown_end, BPF_NOEXIST);
	return bpf_map_lookup_elem(&far_owners, key);
}

static __always_inline void widen_key(struct flow_key_v6 *wide, const struct flow_key_v4 *key)
{
	__builtin_memset(wide, 0, sizeof(*wide));
	__builtin_memcpy(wide->source_address, key->source_address, sizeof(key->source_address));
	__builtin_memcpy(wide->destination_address, key->destination_address,
			 sizeof(key->destination_address));
	/* Both keys end alike. */
	__builtin_memcpy(&wide->scope, &key->scope,
			 sizeof(*key) - __builtin_offsetof(struct flow_key_v4, scope));
	wide->direction_and_pid |= WIDENED_MASK;
}

static __noinline struct end_owner *far_owner_v4(const struct flow_key_v4 *key, bool create)
{
	struct flow_key_v6 wide;

	widen_key(&wide, key);
	return far_owner_v6(&wide, create);
}

static __always_inline void forget_far_owner_v6(const struct flow_key_v6 *key)
{
	bpf_map_delete_elem(&far_owners, key);
}

static __noinline void forget_far_owner_v4(const struct flow_key_v4 *key)
{
	struct flow_key_v6 wide;

	widen_key(&wide, key);
	bpf_map_delete_elem(&far_owners, &wide);
}

#endif
