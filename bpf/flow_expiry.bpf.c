// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The iterators through which expired flows leave the kernel, and the contract, for the daemon to
 * check.
 */
#include "flow_expiry.h"

/* The key is copied because deletion wants it in the program's own memory. */
#define WRITE_RECORD(name, map, key_type, version)                                                 \
	static __always_inline void name(struct seq_file *seq, const key_type *entry_key,          \
					 struct flow_entry *entry,                                 \
					 const struct expiry_settings *settings, __u64 now)        \
	{                                                                                          \
		bool is_peek = settings->scope == SWEEP_PEEK;                                      \
		enum take_result taken = NOTHING_TAKEN;                                            \
		struct flow_record record = {};                                                    \
		struct end_owner *far = NULL;                                                      \
		key_type key = *entry_key;                                                         \
                                                                                                   \
		if (!has_room(seq)) {                                                              \
			bpf_seq_write(seq, &record, sizeof(record)); /* read() comes again */      \
			return;                                                                    \
		}                                                                                  \
		if (is_peek && !peek_record(entry, &record))                                       \
			return;                                                                    \
		if (!is_peek)                                                                      \
			taken = take_record(entry, key.protocol, settings, now, &record);          \
		if (!is_peek && taken == NOTHING_TAKEN)                                            \
			return;                                                                    \
		if (key.interface_index == LOOPBACK_IFINDEX)                                       \
			far = far_owner_v##version(&key, false);                                   \
		if (record.packets) {                                                              \
			FILL_FROM_KEY(&record, &key, version);                                     \
			fill_icmp(&record);                                                        \
			fill_owners(&record, entry, far);                                          \
			bpf_seq_write(seq, &record, sizeof(record));                               \
		}                                                                                  \
		if (taken != TAKEN_DEAD)                                                           \
			return;                                                                    \
		if (far)                                                                           \
			forget_far_owner_v##version(&key);                                         \
		if (!bpf_map_delete_elem(&map, &key))                                              \
			count(FLOWS_DELETED, 1);                                                   \
	}

/* One step of the walk. */
#define SWEEP(map, key_type, version)                                                              \
	WRITE_RECORD(write_record_v##version, map, key_type, version)                              \
                                                                                                   \
	SEC("iter/bpf_map_elem")                                                                   \
	int sweep_##map(struct bpf_iter__bpf_map_elem *ctx)                                        \
	{                                                                                          \
		const key_type *key = ctx->key;                                                    \
		struct flow_entry *entry = ctx->value;                                             \
		struct seq_file *seq = ctx->meta->seq;                                             \
		struct expiry_settings *settings;                                                  \
		__u32 zero = 0;                                                                    \
		__u64 now;                                                                         \
                                                                                                   \
		if (!key || !entry)                                                                \
			return 0;                                                                  \
		settings = bpf_map_lookup_elem(&expiry_settings, &zero);                           \
		if (!settings)                                                                     \
			return 0;                                                                  \
		if (settings->scope == SWEEP_LAST_SEEN)                                            \
			return write_last_seen(seq, entry);                                        \
		now = sweep_time(settings, ctx->meta->seq_num);                                    \
		if (settings->scope == SWEEP_PEEK || may_end(entry, key->protocol, settings, now)) \
			write_record_v##version(seq, key, entry, settings, now);                   \
		return 0;                                                                          \
	}

SWEEP(flows_v4, struct flow_key_v4, 4)
SWEEP(flows_v6, struct flow_key_v6, 6)

/* Keeps the contract's structures and enumerations in the object's BTF. */
struct flow_record contract_record SEC(".rodata.contract");
enum contract contract_version SEC(".rodata.contract") = CONTRACT_VERSION;
enum flow_direction contract_direction SEC(".rodata.contract");
enum attribution_method contract_method SEC(".rodata.contract");
enum owner_flag contract_owner SEC(".rodata.contract");
enum unknown_reason contract_unknown SEC(".rodata.contract");
enum flow_end_reason contract_end_reason SEC(".rodata.contract");
enum flow_flag contract_flag SEC(".rodata.contract");
enum idle_timeout contract_idle SEC(".rodata.contract");
enum sweep_scope contract_scope SEC(".rodata.contract");
enum meter_counter contract_counter SEC(".rodata.contract");
enum track_level contract_track SEC(".rodata.contract");
enum sampling_kind contract_sampling SEC(".rodata.contract");
