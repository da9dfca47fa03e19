// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Tells user space of every process that begins, executes a program or ends, so that it knows the
 * processes of a flow long before the flow is exported, and also those that are gone by then.
 * Nothing here is on the way of a packet.
 */
#include "kernel_types.h"
#include "flow_contract.h"
#include "meter_counters.h"

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1024 * 1024);
} process_events SEC(".maps");

/* An exec event is larger than the stack. One a CPU: tracepoints cannot be preempted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct exec_event);
} exec_scratch SEC(".maps");

/* @leader: the thread group's; @parent: its leader, or another thread of it. */
static __always_inline void describe(struct process_event *event, enum process_event_kind kind,
				     struct task_struct *leader, struct task_struct *parent)
{
	struct task_struct *parent_leader = parent->group_leader;

	__builtin_memset(event, 0, sizeof(*event));
	event->kind = kind;
	event->start_ns = leader->start_boottime;
	event->cgroup_id = leader->cgroups->dfl_cgrp->kn->id;
	event->pid = leader->tgid;
	event->exec_id = leader->self_exec_id;
	event->parent_start_ns = parent_leader->start_boottime;
	event->parent_pid = parent->tgid;
	*(__u64 *)&event->parent_comm[0] = *(__u64 *)&parent_leader->comm[0];
	*(__u64 *)&event->parent_comm[8] = *(__u64 *)&parent_leader->comm[8];
}

/* Wakes nobody: user space looks in ten times a second, and when it meets an unknown process. */
static __always_inline void send(void *event, __u64 octets)
{
	if (bpf_ringbuf_output(&process_events, event, octets, BPF_RB_NO_WAKEUP))
		count(PROCESS_EVENTS_LOST, 1);
}

/*
 * After the new program's stack is made, in the context of the process, so that its file name and
 * arguments are there in user memory: kernel memory cannot be read as a string in lockdown. The
 * pages were written a moment ago; one that is swapped out already leaves the string empty, and
 * user space looks into /proc. Kernel 3.4, BTF 5.5.
 */
SEC("tp_btf/sched_process_exec")
int BPF_PROG(process_executed, struct task_struct *task, int old_pid, struct linux_binprm *binprm)
{
	unsigned long start = task->mm->arg_start;
	__u64 octets = task->mm->arg_end - start;
	struct exec_event *exec;
	__u32 zero = 0;
	long name;

	exec = bpf_map_lookup_elem(&exec_scratch, &zero);
	if (!exec)
		return 0;
	describe(&exec->event, PROCESS_EXECUTED, task->group_leader, task->real_parent);
	exec->event.is_script = binprm->interp != binprm->filename;

	name = bpf_probe_read_user_str(exec->strings, EXECUTABLE_LENGTH, (void *)binprm->exec);
	if (name < 0)
		name = 0;
	if (name > EXECUTABLE_LENGTH) /* never, but the verifier wants to know */
		return 0;
	if (octets > ARGUMENTS_LENGTH)
		octets = ARGUMENTS_LENGTH;
	if (bpf_probe_read_user(exec->strings + name, octets, (void *)start))
		octets = 0;
	exec->event.executable_octets = name;
	exec->event.arguments_octets = octets;
	send(exec, sizeof(exec->event) + name + octets);
	return 0;
}

/* A child runs its parent's program until it executes another. Kernel 2.6, BTF 5.5. */
SEC("tp_btf/sched_process_fork")
int BPF_PROG(process_forked, struct task_struct *parent, struct task_struct *child)
{
	struct process_event event;

	if (child->pid != child->tgid || child->flags & PF_KTHREAD)
		return 0;
	describe(&event, PROCESS_FORKED, child, parent);
	send(&event, sizeof(event));
	return 0;
}

/* The last thread's end is the process's; its leader may have ended before. Kernel 2.6, BTF 5.5. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exited, struct task_struct *task)
{
	struct process_event event;

	if (task->signal->live.counter != 0 || task->flags & PF_KTHREAD)
		return 0;
	describe(&event, PROCESS_EXITED, task->group_leader, task->real_parent);
	send(&event, sizeof(event));
	return 0;
}

/* Every process that lives now, without its strings: those are another process's memory.
 * Kernel 5.8. */
SEC("iter/task")
int list_processes(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct process_event event;

	if (!task || task->pid != task->tgid || task->flags & PF_KTHREAD)
		return 0;
	describe(&event, PROCESS_FOUND, task, task->real_parent);
	bpf_seq_write(ctx->meta->seq, &event, sizeof(event));
	return 0;
}

/* Keeps the enumeration in the object's BTF. */
enum process_event_kind contract_process_event SEC(".rodata.contract");
