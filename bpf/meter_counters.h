/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Counters of what the programs did and, above all, of what they could not do. */
#ifndef PROCFLOW_METER_COUNTERS_H
#define PROCFLOW_METER_COUNTERS_H

#include "kernel_types.h"
#include "flow_contract.h"

struct meter_counters {
	__u64 slots[METER_COUNTERS];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct meter_counters);
} meter_counters SEC(".maps");

static __always_inline struct meter_counters *own_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&meter_counters, &zero);
}

/*
 * Atomic although the slot belongs to one CPU: programs in process context (send hooks, the
 * iterator) are interrupted by the packet programs of the same CPU.
 */
static __always_inline void count(enum meter_counter counter, __u64 by)
{
	struct meter_counters *counters = own_counters();

	if (counters)
		__sync_fetch_and_add(&counters->slots[counter], by);
}

/* For every packet. Plain additions: only packet programs count these, one at a time per CPU. */
static __always_inline void count_metered(__u64 packets, __u64 octets)
{
	struct meter_counters *counters = own_counters();

	if (counters) {
		counters->slots[METERED_PACKETS] += packets;
		counters->slots[METERED_OCTETS] += octets;
	}
}

/* As above, where packet programs interrupt each other: those of sockets. */
static __always_inline void count_metered_atomically(__u64 packets, __u64 octets)
{
	struct meter_counters *counters = own_counters();

	if (counters) {
		__sync_fetch_and_add(&counters->slots[METERED_PACKETS], packets);
		__sync_fetch_and_add(&counters->slots[METERED_OCTETS], octets);
	}
}

/* Atomic: the packet programs of sockets interrupt each other. */
static __always_inline void count_not_sampled(__u64 packets, __u64 octets)
{
	struct meter_counters *counters = own_counters();

	if (counters) {
		__sync_fetch_and_add(&counters->slots[NOT_SAMPLED_PACKETS], packets);
		__sync_fetch_and_add(&counters->slots[NOT_SAMPLED_OCTETS], octets);
	}
}

#endif
