// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The least that a meter with a hash map can do: find a flow and add to it, or insert one. Nothing
 * is parsed, no process is looked for; the map is procflow's.
 */
#include "../../bpf/flow_cache.h"

#define SOURCE_OFFSET 26 /* of an IPv4 address in an Ethernet frame */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct flow_entry);
} new_entry SEC(".maps");

static __always_inline bool read_key(struct __sk_buff *skb, struct flow_key_v4 *key)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (data + SOURCE_OFFSET + 4 > end)
		return false;
	*(__u32 *)key->source_address = *(__u32 *)(data + SOURCE_OFFSET);
	return true;
}

SEC("tc")
int floor_of_lookup(struct __sk_buff *skb)
{
	struct flow_key_v4 key = {};
	struct flow_entry *entry;

	if (!read_key(skb, &key))
		return -1;
	entry = bpf_map_lookup_elem(&flows_v4, &key);
	if (entry)
		__sync_fetch_and_add(&entry->state, ONE_PACKET);
	else
		bpf_map_update_elem(&flows_v4, &key, &(struct flow_entry){}, BPF_NOEXIST);
	return -1;
}

SEC("tc")
int floor_of_insertion(struct __sk_buff *skb)
{
	struct flow_key_v4 key = {};
	struct flow_entry *entry;
	__u32 zero = 0;

	entry = bpf_map_lookup_elem(&new_entry, &zero);
	if (entry && read_key(skb, &key))
		bpf_map_update_elem(&flows_v4, &key, entry, BPF_NOEXIST);
	return -1;
}

char LICENSE[] SEC("license") = "GPL";
