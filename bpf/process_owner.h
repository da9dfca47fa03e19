/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Who owns a socket: written by the programs of socket_owner.bpf.c in the context of the process,
 * read by flow_meter.bpf.c for each new flow. An owner is many octets that change together, and
 * neither a tracing nor an iterator program may take a bpf_spin_lock, so a sequence counter guards
 * it: odd while it is written, and a reader takes only what two equal, even readings enclose.
 */
#ifndef PROCFLOW_PROCESS_OWNER_H
#define PROCFLOW_PROCESS_OWNER_H

#include "kernel_types.h"
#include "flow_contract.h"
#include "meter_counters.h"

#define AF_INET	  2 /* include/linux/socket.h */
#define AF_INET6  10
#define AF_PACKET 17
#define SOCK_RAW  3 /* include/linux/net.h */

#define OWNER_READ_ATTEMPTS 4

struct guarded_owner {
	__u64 cookie; /* of the socket; in an accepted socket's storage first its listener's */
	__u32 sequence;
	__u32 netns; /* of the socket: inode number */
	struct process_owner owner;
};

/* BPF_F_CLONE: a socket accepted from a listener begins with the listener's owner. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct guarded_owner);
} socket_owners SEC(".maps");

static __always_inline bool same_process(const struct process_owner *a,
					 const struct process_owner *b)
{
	const __u64 *a_comm = (const void *)a->comm, *b_comm = (const void *)b->comm;

	return a->pid == b->pid && a->start_ns == b->start_ns && a->exec_id == b->exec_id &&
	       a->uid == b->uid && a_comm[0] == b_comm[0] && a_comm[1] == b_comm[1];
}

/* Copies a guarded owner; false when writers kept it changing. */
static __always_inline bool read_owner(struct guarded_owner *from, struct process_owner *to)
{
	for (int i = 0; i < OWNER_READ_ATTEMPTS; i++) {
		/* Adding nothing is a full barrier and a read in one. */
		__u32 before = __sync_fetch_and_add(&from->sequence, 0);

		if (before & 1)
			continue;
		*to = from->owner;
		if (__sync_fetch_and_add(&from->sequence, 0) == before)
			return true;
	}
	return false;
}

/* Gives way to a concurrent writer: its knowledge is as fresh. */
static __always_inline bool write_owner(struct guarded_owner *to, const struct process_owner *from,
					__u64 cookie)
{
	__u32 before = *(volatile __u32 *)&to->sequence;

	if (before & 1 || __sync_val_compare_and_swap(&to->sequence, before, before + 1) != before)
		return false;
	to->owner = *from;
	to->cookie = cookie;
	/* The result is kept alive so that the fetching form is used: it is a full barrier. */
	before = __sync_fetch_and_add(&to->sequence, 1);
	asm volatile("" ::"r"(before));
	return true;
}

#endif
