// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Who talks to which peer on an unconnected UDP socket: it has no single owner when several
 * processes use it (docs/adr/0004-socket-owners.md).
 */
#include "note_owner.h"

/*
 * The process at this end of a datagram, on a socket that is not connected to its peer. Returns the
 * socket's owner where several processes share it, and the peer therefore matters.
 */
static __always_inline struct guarded_owner *note_datagram(struct bpf_sock_addr *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct bpf_sock *sk = ctx->sk;
	struct guarded_owner *stored;

	if (!sk || ctx->protocol != IPPROTO_UDP || task->flags & PF_KTHREAD)
		return NULL;
	stored = stored_owner(sk);
	if (!stored)
		return NULL;
	if (!stored->cookie || !is_noted(stored, task, stored->cookie, OWNER_USED | OWNER_BY_PEER))
		note_process(stored, bpf_get_socket_cookie(ctx), OWNER_USED | OWNER_BY_PEER);
	return stored->owner.flags & OWNER_SHARED ? stored : NULL;
}

/* The caller itself, not what is stored: another process may have taken the socket meanwhile. */
static __always_inline void note_peer(const struct peer_key *peer)
{
	struct process_owner *known, owner;

	describe_process(bpf_get_current_task_btf(), &owner);
	owner.flags = OWNER_USED | OWNER_BY_PEER | OWNER_SHARED;
	known = bpf_map_lookup_elem(&peer_owners, peer);
	if (known && same_process(known, &owner))
		return;
	if (bpf_map_update_elem(&peer_owners, peer, &owner, BPF_ANY))
		count(OWNERS_NOT_STORED, 1);
}

static __always_inline void note_datagram_v4(struct bpf_sock_addr *ctx)
{
	struct guarded_owner *stored = note_datagram(ctx);
	struct peer_key peer = {};

	if (!stored)
		return;
	peer.cookie = stored->cookie;
	*(__u32 *)peer.address = ctx->user_ip4;
	peer.port = ctx->user_port;
	note_peer(&peer);
}

static __always_inline void note_datagram_v6(struct bpf_sock_addr *ctx)
{
	struct guarded_owner *stored = note_datagram(ctx);
	struct peer_key peer = {};
	__u32 *address = (void *)peer.address;

	if (!stored)
		return;
	peer.cookie = stored->cookie;
	peer.port = ctx->user_port;
	address[0] = ctx->user_ip6[0];
	address[1] = ctx->user_ip6[1];
	address[2] = ctx->user_ip6[2];
	address[3] = ctx->user_ip6[3];
	if (!address[0] && !address[1] && address[2] == bpf_htonl(0xffff)) {
		address[0] = address[3];
		address[2] = address[3] = 0;
	}
	note_peer(&peer);
}

/*
 * UDP to an address that the call gives, before the datagram leaves; and UDP received with its
 * sender's address asked for. They must return 1: 0 would refuse the call. Kernel 4.18, recvmsg
 * 5.2.
 */
SEC("cgroup/sendmsg4")
int datagram_sent_v4(struct bpf_sock_addr *ctx)
{
	note_datagram_v4(ctx);
	return 1;
}

SEC("cgroup/sendmsg6")
int datagram_sent_v6(struct bpf_sock_addr *ctx)
{
	note_datagram_v6(ctx);
	return 1;
}

SEC("cgroup/recvmsg4")
int datagram_received_v4(struct bpf_sock_addr *ctx)
{
	note_datagram_v4(ctx);
	return 1;
}

SEC("cgroup/recvmsg6")
int datagram_received_v6(struct bpf_sock_addr *ctx)
{
	note_datagram_v6(ctx);
	return 1;
}
