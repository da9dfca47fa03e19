/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The kernel types that the programs read, with only the fields they read: libbpf relocates each
 * access to the running kernel (CO-RE), so no vmlinux.h is needed. Uapi headers give the rest.
 */
#ifndef PROCFLOW_KERNEL_TYPES_H
#define PROCFLOW_KERNEL_TYPES_H

#include <linux/types.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_core_read.h>
#include <stdbool.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h */

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	__u32 val;
} kuid_t;

struct cred {
	kuid_t euid;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct css_set {
	struct cgroup *dfl_cgrp;
};

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct mm_struct {
	unsigned long arg_start;
	unsigned long arg_end;
};

struct linux_binprm {
	unsigned long exec;
	const char *filename;
	const char *interp;
};

struct ns_common {
	unsigned int inum;
};

struct net {
	struct ns_common ns;
};

struct nsproxy {
	struct net *net_ns;
};

struct task_struct {
	unsigned int flags;
	__s32 pid;
	__s32 tgid;
	__u64 start_boottime;
	__u32 self_exec_id;
	char comm[16];
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct mm_struct *mm;
	struct signal_struct *signal;
	const struct cred *cred;
	struct css_set *cgroups;
	struct nsproxy *nsproxy;
};

typedef struct {
	__s64 counter;
} atomic64_t;

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;	 /* host order */
	unsigned short skc_family;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	atomic64_t skc_cookie;
};

typedef struct {
	int owned;
} socket_lock_t;

struct sock {
	struct sock_common __sk_common;
	socket_lock_t sk_lock;
	__u8 sk_kern_sock : 1;
	__u16 sk_type;
	__u16 sk_protocol;
};

struct inet_sock {
	__u16 inet_sport; /* network order; stays when the port is given back */
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	bool is_mptcp;
};

struct mptcp_sock {
};

struct sk_buff {
	struct sock *sk;
	__u8 encapsulation : 1;
	__u16 inner_network_header; /* 0 where there is none */
};

struct socket {
	struct sock *sk;
};

struct file;

struct seq_file {
	unsigned long size;
	unsigned long count;
};

struct bpf_map;

struct bpf_iter_meta {
	struct seq_file *seq;
	__u64 seq_num;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

struct bpf_iter__bpf_map_elem {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	void *key;
	void *value;
};

#pragma clang attribute pop

/* Views of kernel structures in packet programs. Kernel 6.2: meter_settings.can_cast. */
#ifndef WITHOUT_CASTS
extern void *bpf_cast_to_kern_ctx(void *context) __weak __ksym;
extern void *bpf_rdonly_cast(void *object, __u32 btf_id) __weak __ksym;
#else
/*
 * For kernels before that, never called there. What the kernel does not have, libbpf looks for in
 * its modules, and that takes CAP_SYS_ADMIN.
 */
static __always_inline void *bpf_cast_to_kern_ctx(void *context)
{
	return context;
}

static __always_inline void *bpf_rdonly_cast(void *object, __u32 btf_id)
{
	return object;
}
#endif

#endif
