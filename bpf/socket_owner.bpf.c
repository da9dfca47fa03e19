// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Keeps, per socket, which process uses it. Each program runs in the context of that process;
 * the packet programs only read what is noted here.
 */
#include "process_owner.h"

#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define TCP_LISTEN   10

#define AF_INET	  2 /* include/linux/socket.h */
#define AF_INET6  10
#define AF_PACKET 17

char LICENSE[] SEC("license") = "GPL";

/* Which process a task belongs to: the thread group, by its leader's name. */
static __always_inline void describe_process(struct task_struct *task, struct process_owner *owner)
{
	struct task_struct *leader = task->group_leader;

	__builtin_memset(owner, 0, sizeof(*owner));
	owner->method = ATTRIBUTION_SOCKET;
	if (task->flags & PF_KTHREAD) {
		owner->method = ATTRIBUTION_KERNEL;
		return;
	}
	owner->start_ns = leader->start_boottime;
	owner->cgroup_id = task->cgroups->dfl_cgrp->kn->id;
	owner->pid = task->tgid;
	owner->uid = task->cred->euid.val;
	owner->exec_id = task->self_exec_id;
	*(__u64 *)&owner->comm[0] = *(__u64 *)&leader->comm[0];
	*(__u64 *)&owner->comm[8] = *(__u64 *)&leader->comm[8];
}

/*
 * Notes the calling process as the socket's owner.
 * @used: it sends or receives; a process that did stays the owner until another one does.
 */
static __always_inline void note_owner(struct guarded_owner *stored, __u64 cookie, bool used)
{
	struct late_owner late = {};
	bool unchanged;

	describe_process(bpf_get_current_task_btf(), &late.owner);
	late.owner.is_final = used;
	unchanged = same_process(&stored->owner, &late.owner) &&
		    stored->owner.method == late.owner.method;
	if (unchanged && stored->cookie == cookie && stored->owner.is_final >= used)
		return;

	late.replaced_user = stored->owner.is_final;
	write_owner(stored, &late.owner, cookie);
	if (unchanged || !used)
		return; /* the packets so far were given the right name */
	late.cookie = cookie;
	late.since_ns = bpf_ktime_get_boot_ns();
	if (bpf_map_update_elem(&late_owners, &cookie, &late, BPF_ANY))
		count(OWNERS_NOT_STORED, 1);
}

/* The hooks see every family; Unix and netlink sockets send no packets. */
static __always_inline bool sends_packets(struct sock *sk)
{
	unsigned short family = sk->__sk_common.skc_family;

	return family == AF_INET || family == AF_INET6 || family == AF_PACKET;
}

/* For programs that have the socket as a BTF pointer. */
static __always_inline void note_socket(struct sock *sk, bool used)
{
	struct guarded_owner *stored;
	__u64 cookie;

	if (!sk || !sends_packets(sk))
		return;
	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!stored) {
		count(OWNERS_NOT_STORED, 1);
		return;
	}
	/* Reading the cookie is cheaper than the helper, which makes one where there is none. */
	cookie = sk->__sk_common.skc_cookie.counter;
	if (!cookie)
		cookie = bpf_get_socket_cookie(sk);
	note_owner(stored, cookie, used);
}

/*
 * Creation: the only hook in process context that precedes a socket's first packet. Sees
 * AF_INET and AF_INET6, not AF_PACKET. It must return 1: 0 would refuse the socket.
 * Kernel 4.10, socket storage here 5.2.
 */
SEC("cgroup/sock_create")
int socket_created(struct bpf_sock *sk)
{
	struct guarded_owner *stored;

	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (stored)
		note_owner(stored, bpf_get_socket_cookie(sk), false);
	else
		count(OWNERS_NOT_STORED, 1);
	return 1;
}

/*
 * connect and listen: in process context on the way to SYN_SENT, before the SYN leaves, and to
 * LISTEN; in softirq, with any task as current, for every other state. Kernel 4.16, BTF 5.5.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state_changed, struct sock *sk, int old_state, int new_state)
{
	if (new_state == TCP_SYN_SENT || new_state == TCP_LISTEN)
		note_socket(sk, new_state == TCP_SYN_SENT);
	return 0;
}

/*
 * Every send of every family, io_uring and sendfile included, after the call: its packets may
 * have passed already, which is what late_owners is for. Kernel 6.3. A failed call takes no
 * socket over from another process.
 */
SEC("tp_btf/sock_send_length")
int BPF_PROG(socket_sent, struct sock *sk, int result, int flags)
{
	if (result >= 0)
		note_socket(sk, true);
	return 0;
}

/* Every receive, as above. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int result, int flags)
{
	if (result >= 0)
		note_socket(sk, true);
	return 0;
}

/*
 * Sockets that were open before the start: one walk over all descriptors, after the hooks above
 * are attached, which know better where they have already seen the socket. Kernel 5.8,
 * bpf_sock_from_file 5.11.
 */
SEC("iter/task_file")
int snapshot_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct guarded_owner *stored;
	struct process_owner owner;
	struct socket *socket;
	struct sock *sk;
	__u64 cookie;

	if (!task || !file || task->pid != task->tgid)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !sends_packets(sk))
		return 0;
	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!stored) {
		count(OWNERS_NOT_STORED, 1);
		return 0;
	}
	if (stored->owner.method != ATTRIBUTION_UNKNOWN)
		return 0;
	describe_process(task, &owner);
	owner.method = ATTRIBUTION_SNAPSHOT;
	cookie = bpf_get_socket_cookie(sk);
	write_owner(stored, &owner, cookie);
	return 0;
}
