// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Runs a program under test on many different packets in one BPF_PROG_TEST_RUN:
 * each run changes the packet's source address and tail-calls the program.
 * Passes over the same packets go to the empty program and to the real one in
 * turn; the time at which each pass begins is noted.
 */
#include "../../bpf/process_owner.h"

#define ETH_LENGTH	 14
#define SOURCE_V4_OFFSET (ETH_LENGTH + 12)
#define SOURCE_V6_OFFSET (ETH_LENGTH + 8)
#define MAX_PASSES	 256

enum target {
	TARGET_EMPTY = 0,
	TARGET_REAL = 1,
};

struct series {
	__u32 flows;	  /* different packets of a pass */
	__u32 packets;	  /* of a pass */
	__u32 address_at; /* where the four octets are that tell packets apart */
	__u32 new_flows;  /* each pass has flows that no other had */
	__u32 has_owner;  /* the packets' socket is a process's */
	__u32 pass;	  /* going on */
	__u32 done;	  /* packets of this pass */
	__u32 flow;	  /* the next packet's */
	__u32 first_flow; /* of this pass */
	__u32 padding;
	__u64 began_ns[MAX_PASSES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct series);
} series SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u32);
} targets SEC(".maps");

/* The test run's socket becomes a process's, as one that a process has sent
 * from. */
static __always_inline void give_owner(struct __sk_buff *skb)
{
	struct guarded_owner owner = {
		.owner = {.start_ns = 1,
			  .pid = 1,
			  .method = ATTRIBUTION_SOCKET,
			  .flags = OWNER_USED,
			  .comm = "series"},
	};
	struct bpf_sock *sk = skb->sk;

	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk)
		bpf_sk_storage_get(&socket_owners, sk, &owner, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void begin_pass(struct series *s)
{
	s->done = 0;
	s->flow = 0;
	/* The first pass fills the cache; then come an empty one and a real one in
	 * turn. */
	if (s->new_flows && s->pass % 2 == 0)
		s->first_flow += s->packets;
	s->began_ns[++s->pass & (MAX_PASSES - 1)] = bpf_ktime_get_ns();
}

SEC("tc")
int packet_series(struct __sk_buff *skb)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct series *s;
	__u32 zero = 0, at;

	s = bpf_map_lookup_elem(&series, &zero);
	if (!s)
		return -1;
	if (!s->pass) {
		if (s->has_owner)
			give_owner(skb);
		begin_pass(s);
	} else if (s->done == s->packets) {
		begin_pass(s);
	}
	at = s->address_at & 63;
	if (data + at + 4 <= end)
		*(__u32 *)(data + at) = bpf_htonl(0x0b000000 + s->first_flow + s->flow);
	s->done++;
	if (++s->flow == s->flows)
		s->flow = 0;
	bpf_tail_call(skb, &targets, s->pass & 1);
	return -1;
}

char LICENSE[] SEC("license") = "GPL";
