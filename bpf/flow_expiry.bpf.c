// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * The iterators through which expired flows leave the kernel, and the contract, for the daemon to
 * check.
 */
#include "flow_expiry.h"

/* One step of the walk; the key is copied because deletion wants it in the program's own memory. */
#define SWEEP(map, key_type, version)                                                              \
	SEC("iter/bpf_map_elem")                                                                   \
	int sweep_##map(struct bpf_iter__bpf_map_elem *ctx)                                        \
	{                                                                                          \
		const key_type *entry_key = ctx->key;                                              \
		struct flow_entry *entry = ctx->value;                                             \
		struct expiry_settings *settings;                                                  \
		struct flow_record record = {};                                                    \
		enum take_result result;                                                           \
		__u64 now;                                                                         \
		key_type key;                                                                      \
		__u32 zero = 0;                                                                    \
                                                                                                   \
		if (!entry_key || !entry)                                                          \
			return 0;                                                                  \
		settings = bpf_map_lookup_elem(&expiry_settings, &zero);                           \
		if (!settings)                                                                     \
			return 0;                                                                  \
		now = settings->now_ns ?: bpf_ktime_get_boot_ns();                                 \
		if (settings->scope == SWEEP_LAST_SEEN)                                            \
			return write_last_seen(ctx->meta->seq, entry);                             \
		result = settings->scope == SWEEP_PEEK ? peek_record(entry, &record)               \
						       : take_record(entry, entry_key->protocol,   \
								     settings, now, &record);      \
		if (result == NOTHING_TAKEN)                                                       \
			return 0;                                                                  \
		if (result == WRITERS_AT_WORK) {                                                   \
			count(EXPIRY_DEFERRED, 1);                                                 \
			return 0;                                                                  \
		}                                                                                  \
		key = *entry_key;                                                                  \
		if (result == RECORD_WRITTEN) {                                                    \
			FILL_FROM_KEY(&record, &key, version);                                     \
			fill_icmp(&record);                                                        \
			fill_owners(&record, &entry->owners);                                      \
			if (bpf_seq_write(ctx->meta->seq, &record, sizeof(record)))                \
				return 0; /* the buffer is full: read() comes again */             \
		}                                                                                  \
		if (settings->scope == SWEEP_PEEK)                                                 \
			return 0;                                                                  \
		if (release_page(entry) && !bpf_map_delete_elem(&map, &key))                       \
			count(FLOWS_DELETED, 1);                                                   \
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
