/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Notes the calling process as a socket's owner. Everything here runs in its context. */
#ifndef PROCFLOW_NOTE_OWNER_H
#define PROCFLOW_NOTE_OWNER_H

#include "ip_headers.h"
#include "late_owner.h"

/* Which process a task belongs to: the thread group, by its leader's name. */
static __always_inline void describe_process(struct task_struct *task, struct process_owner *owner)
{
	struct task_struct *leader = task->group_leader;

	__builtin_memset(owner, 0, sizeof(*owner));
	owner->method = ATTRIBUTION_SOCKET;
	owner->start_ns = leader->start_boottime;
	owner->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	owner->pid = task->tgid;
	owner->uid = task->cred->euid.val;
	owner->exec_id = task->self_exec_id;
	*(__u64 *)&owner->comm[0] = *(__u64 *)&leader->comm[0];
	*(__u64 *)&owner->comm[8] = *(__u64 *)&leader->comm[8];
}

static __always_inline struct guarded_owner *stored_owner(void *sk)
{
	struct guarded_owner *stored =
		bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);

	if (!stored)
		count(OWNERS_NOT_STORED, 1);
	return stored;
}

/*
 * Whether all is noted already: what every call but a few of a socket's life finds. One condition
 * for all of it: the verifier follows both ways of each, and where it comes to a pointer of the
 * kernel's, it searches all of the kernel's types for what it may trust, which takes a millisecond.
 */
static __always_inline bool is_noted(const struct guarded_owner *stored, struct task_struct *task,
				     __u64 cookie, __u8 flags)
{
	const struct process_owner *owner = &stored->owner;
	struct task_struct *leader = task->group_leader;
	__u64 differs = owner->uid ^ task->cred->euid.val;

	differs |= owner->pid ^ task->tgid;
	differs |= (owner->flags & flags) ^ flags;
	differs |= stored->cookie ^ cookie;
	differs |= owner->method ^ ATTRIBUTION_SOCKET;
	differs |= owner->start_ns ^ leader->start_boottime;
	differs |= owner->exec_id ^ task->self_exec_id;
	differs |= *(__u64 *)&owner->comm[0] ^ *(__u64 *)&leader->comm[0];
	differs |= *(__u64 *)&owner->comm[8] ^ *(__u64 *)&leader->comm[8];
	return !differs;
}

/*
 * The calling process uses the socket; flags: of enum owner_flag, what is known of this use. A
 * global function, so that the verifier walks it once and not for each way to it.
 */
__noinline int note_process(struct guarded_owner *stored, __u64 cookie, __u8 flags)
{
	struct late_owner late = {};
	bool same, unchanged;

	if (!stored)
		return 0;
	describe_process(bpf_get_current_task_btf(), &late.owner);
	same = same_process(&stored->owner, &late.owner);
	unchanged = same && stored->owner.method == late.owner.method;
	late.owner.flags = flags | (stored->owner.flags & OWNER_SHARED);
	if (same)
		late.owner.flags |= stored->owner.flags;
	else if (stored->owner.pid)
		late.owner.flags |= OWNER_SHARED;
	late.replaced_user = stored->owner.flags & OWNER_USED;
	write_owner(stored, &late.owner, cookie);
	if (unchanged || !(flags & OWNER_USED))
		return 0; /* the packets so far were given the right name */
	late.cookie = cookie;
	late.since_ns = bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&late_owners, &cookie, &late, BPF_ANY))
		count(OWNERS_NOT_STORED, 1);
	return 0;
}

/* Sockets that no helper looks up: raw ones, and those of other protocols than TCP and UDP. */
static __always_inline bool is_noted_as_receiver(__u16 family, __u16 type, __u16 protocol)
{
	switch (protocol) {
	case IPPROTO_TCP: /* ICMP's are found by their identifier */
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_RAW:
	case IPPROTO_MPTCP:
		return false;
	default:
		return family == AF_INET || family == AF_INET6;
	}
}

static __always_inline void note_receiver(struct guarded_owner *stored, __u16 family, __u16 type,
					  __u16 protocol, __u16 port)
{
	struct receiver receiver = {.cookie = stored->cookie};
	struct receiver_key key;
	struct receiver *known;

	if (!is_noted_as_receiver(family, type, protocol) || (type != SOCK_RAW && !port))
		return;
	key = receiver_key(stored->netns, family == AF_INET ? 4 : 6, protocol,
			   type == SOCK_RAW ? 0 : port);
	known = bpf_map_lookup_elem(&receivers, &key);
	if (known && known->cookie == stored->cookie && !known->released_ns &&
	    same_process(&known->owner, &stored->owner))
		return;
	if (!read_owner(stored, &receiver.owner))
		return;
	receiver.opened_ns = known && known->cookie == stored->cookie ? known->opened_ns
								      : bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&receivers, &key, &receiver, BPF_ANY))
		count(OWNERS_NOT_STORED, 1);
}

#endif
