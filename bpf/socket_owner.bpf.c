// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Keeps, per socket, which process uses it. Each program runs in the context of that process;
 * the packet programs only read what is noted here.
 */
#include "meter_settings.h"
#include "note_owner.h"

#define TCP_SYN_SENT 2 /* include/net/tcp_states.h */
#define TCP_CLOSE    7
#define TCP_LISTEN   10

/* The hooks see every family; Unix and netlink sockets send no packets. */
static __always_inline bool sends_packets(struct sock *sk)
{
	unsigned short family = sk->__sk_common.skc_family;

	return family == AF_INET || family == AF_INET6 || family == AF_PACKET;
}

/*
 * The kernel's own sockets: NFS, tunnels, the answers to pings. A process can run through their
 * code without being their user. The subflows of MPTCP are made by the kernel, but for a process.
 */
static __always_inline bool is_kernels_own(struct sock *sk)
{
	struct tcp_sock *tcp;

	if (!BPF_CORE_READ_BITFIELD(sk, sk_kern_sock))
		return false;
	tcp = sk->sk_protocol == IPPROTO_TCP ? bpf_skc_to_tcp_sock(sk) : NULL;
	return !tcp || !tcp->is_mptcp;
}

/* Reading the cookie is cheaper than the helper, which makes one where there is none. */
static __always_inline __u64 cookie_of(struct sock *sk)
{
	__u64 cookie = sk->__sk_common.skc_cookie.counter;

	return cookie ?: bpf_get_socket_cookie(sk);
}

/* For programs that have the socket as a BTF pointer. */
static __always_inline void note_socket(struct sock *sk, __u8 flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct guarded_owner *stored;
	__u64 cookie;

	/* A kernel thread works for a process (NBD, say), whose socket it stays. */
	if (!sk || !sends_packets(sk) || task->flags & PF_KTHREAD)
		return;
	if (is_kernels_own(sk))
		return;
	stored = stored_owner(sk);
	if (!stored)
		return;
	cookie = cookie_of(sk);
	if (!is_noted(stored, task, cookie, flags)) {
		stored->netns = sk->__sk_common.skc_net.net->ns.inum;
		note_process(stored, cookie, flags);
	}
	note_receiver(stored, sk->__sk_common.skc_family, sk->sk_type, sk->sk_protocol,
		      bpf_htons(sk->__sk_common.skc_num));
}

/*
 * Creation: the only hook in process context that precedes a socket's first packet. Sees
 * AF_INET and AF_INET6, not AF_PACKET. It must return 1: 0 would refuse the socket.
 * Kernel 4.10, socket storage here 5.2.
 */
SEC("cgroup/sock_create")
int socket_created(struct bpf_sock *sk)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct guarded_owner *stored = stored_owner(sk);
	__u64 cookie;

	if (!stored)
		return 1;
	cookie = bpf_get_socket_cookie(sk);
	stored->netns = task->nsproxy->net_ns->ns.inum;
	note_process(stored, cookie, 0);
	note_receiver(stored, sk->family, sk->type, sk->protocol, 0);
	return 1;
}

/* The end of a socket that is not looked up in the kernel's tables. Must return 1. Kernel 5.9. */
SEC("cgroup/sock_release")
int socket_released(struct bpf_sock *sk)
{
	struct guarded_owner *stored;
	struct receiver *receiver;
	struct receiver_key key;
	__u16 port = 0;

	if (!is_noted_as_receiver(sk->family, sk->type, sk->protocol))
		return 1;
	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, 0);
	if (!stored)
		return 1;
	if (sk->type != SOCK_RAW && meter_settings.can_cast)
		port = ((struct sock *)bpf_cast_to_kern_ctx(sk))->__sk_common.skc_num;
	key = receiver_key(stored->netns, sk->family == AF_INET ? 4 : 6, sk->protocol,
			   bpf_htons(port));
	receiver = bpf_map_lookup_elem(&receivers, &key);
	if (receiver && receiver->cookie == stored->cookie)
		receiver->released_ns = bpf_ktime_get_boot_ns();
	return 1;
}

/* Late packets of the connection find its owner by the addresses, for a while. */
static __always_inline void note_closed(struct sock *sk)
{
	struct sock_common *common = &sk->__sk_common;
	struct closed_connection closed = {};
	struct connection_key key = {};
	struct guarded_owner *stored;
	struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);
	__u32 *local = (void *)key.local_address, *remote = (void *)key.remote_address;

	stored = bpf_sk_storage_get(&socket_owners, sk, NULL, 0);
	if (!tcp || !stored || !read_owner(stored, &closed.owner))
		return;
	key.netns = common->skc_net.net->ns.inum;
	key.local_port = tcp->inet_conn.icsk_inet.inet_sport;
	key.remote_port = common->skc_dport;
	if (common->skc_family == AF_INET ||
	    (!common->skc_v6_daddr.in6_u.u6_addr32[0] &&
	     common->skc_v6_daddr.in6_u.u6_addr32[2] == bpf_htonl(0xffff))) {
		local[0] = common->skc_rcv_saddr;
		remote[0] = common->skc_daddr;
	} else {
		for (int i = 0; i < 4; i++) {
			local[i] = common->skc_v6_rcv_saddr.in6_u.u6_addr32[i];
			remote[i] = common->skc_v6_daddr.in6_u.u6_addr32[i];
		}
	}
	closed.owner.method = ATTRIBUTION_REVERSE_FLOW;
	closed.owner.flags = 0;
	closed.closed_ns = bpf_ktime_get_boot_ns();
	closed.cookie = cookie_of(sk);
	if (bpf_map_update_elem(&closed_connections, &key, &closed, BPF_ANY))
		count(OWNERS_NOT_STORED, 1);
}

/*
 * connect and listen: in process context on the way to SYN_SENT, before the SYN leaves, and to
 * LISTEN; in softirq, with any task as current, for every other state. Kernel 4.16, BTF 5.5.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(socket_state_changed, struct sock *sk, int old_state, int new_state)
{
	if (new_state == TCP_SYN_SENT)
		note_socket(sk, OWNER_USED);
	else if (new_state == TCP_LISTEN)
		note_socket(sk, 0);
	else if (new_state == TCP_CLOSE && old_state != TCP_LISTEN)
		note_closed(sk);
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
		note_socket(sk, OWNER_USED);
	return 0;
}

/* Every receive, as above. */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(socket_received, struct sock *sk, int result, int flags)
{
	if (result >= 0)
		note_socket(sk, OWNER_USED);
	return 0;
}

/*
 * TCP data that leaves a socket by splice or by mapping (TCP_ZEROCOPY_RECEIVE), which the hook
 * above does not see. In process context where the socket is locked by its user; kernel users of
 * a socket (kTLS, sockmap) come here from softirq, with any task as current. Kernel 4.15.
 */
SEC("tp_btf/tcp_rcv_space_adjust")
int BPF_PROG(socket_drained, struct sock *sk)
{
	if (sk->sk_lock.owned)
		note_socket(sk, OWNER_USED);
	return 0;
}

/*
 * Before kernel 6.3, in place of the two tracepoints: before the call, on the way through the
 * security hooks. Not where the kernel is locked down against tracing (lockdown).
 */
SEC("fentry/security_socket_sendmsg")
int BPF_PROG(socket_sends, struct socket *socket, void *message, int size)
{
	note_socket(socket->sk, OWNER_USED);
	return 0;
}

SEC("fentry/security_socket_recvmsg")
int BPF_PROG(socket_receives, struct socket *socket, void *message, int size, int flags)
{
	note_socket(socket->sk, OWNER_USED);
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

	if (!task || !file || task->pid != task->tgid)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || !sends_packets(sk))
		return 0;
	stored = stored_owner(sk);
	if (!stored || stored->owner.method != ATTRIBUTION_UNKNOWN)
		return 0;
	describe_process(task, &owner);
	owner.method = ATTRIBUTION_SNAPSHOT;
	stored->netns = sk->__sk_common.skc_net.net->ns.inum;
	write_owner(stored, &owner, bpf_get_socket_cookie(sk));
	note_receiver(stored, sk->__sk_common.skc_family, sk->sk_type, sk->sk_protocol,
		      bpf_htons(sk->__sk_common.skc_num));
	return 0;
}
