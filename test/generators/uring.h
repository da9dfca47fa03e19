/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part of io_uring that the generators need, by its raw system calls: one request at a time,
 * submitted and waited for. With SQPOLL a thread of the kernel's takes the request; with "async"
 * one of its workers does it. Both belong to the calling process.
 */
#ifndef PROCFLOW_URING_H
#define PROCFLOW_URING_H

#include "generator.h"
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#define URING_ENTRIES 8

struct uring {
	int fd;
	bool sqpoll;
	bool async;
	uint8_t *sq;
	uint8_t *cq;
	struct io_uring_sqe *entries;
	struct io_uring_params params;
};

struct uring_result {
	int32_t result;
	uint32_t flags;
};

static inline void *uring_map(int fd, size_t length, off_t offset)
{
	void *mapped = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);

	if (mapped == MAP_FAILED)
		fail("mmap of io_uring");
	return mapped;
}

static inline struct uring uring_open(bool sqpoll, bool async)
{
	struct uring ring = {.sqpoll = sqpoll, .async = async};

	if (sqpoll)
		ring.params.flags = IORING_SETUP_SQPOLL;
	ring.params.sq_thread_idle = 100;
	ring.fd = syscall(SYS_io_uring_setup, URING_ENTRIES, &ring.params);
	if (ring.fd < 0)
		fail("io_uring_setup");
	ring.sq = uring_map(ring.fd,
			    ring.params.sq_off.array + ring.params.sq_entries * sizeof(uint32_t),
			    IORING_OFF_SQ_RING);
	ring.cq = uring_map(ring.fd,
			    ring.params.cq_off.cqes +
				    ring.params.cq_entries * sizeof(struct io_uring_cqe),
			    IORING_OFF_CQ_RING);
	ring.entries = uring_map(ring.fd, ring.params.sq_entries * sizeof(struct io_uring_sqe),
				 IORING_OFF_SQES);
	return ring;
}

static inline uint32_t *uring_word(uint8_t *area, uint32_t offset)
{
	return (uint32_t *)(area + offset);
}

static inline void uring_enter(struct uring *ring, unsigned int submitted)
{
	uint32_t *flags = uring_word(ring->sq, ring->params.sq_off.flags);
	unsigned int enter = IORING_ENTER_GETEVENTS;

	__sync_synchronize();
	if (ring->sqpoll) {
		submitted = 0; /* its thread looks for itself, unless it has gone to sleep */
		if (__atomic_load_n(flags, __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
			enter |= IORING_ENTER_SQ_WAKEUP;
	}
	if (syscall(SYS_io_uring_enter, ring->fd, submitted, 1, enter, NULL, 0) < 0 &&
	    errno != EINTR)
		fail("io_uring_enter");
}

/* Takes the next completion, waiting for it. */
static inline struct uring_result uring_await(struct uring *ring, unsigned int submitted)
{
	const struct io_uring_cqe *completions = (void *)(ring->cq + ring->params.cq_off.cqes);
	uint32_t *head = uring_word(ring->cq, ring->params.cq_off.head);
	uint32_t *tail = uring_word(ring->cq, ring->params.cq_off.tail);
	const struct io_uring_cqe *first;
	struct uring_result found;

	uring_enter(ring, submitted);
	while (__atomic_load_n(tail, __ATOMIC_ACQUIRE) == *head)
		uring_enter(ring, 0);
	first = &completions[*head & *uring_word(ring->cq, ring->params.cq_off.ring_mask)];
	found = (struct uring_result){first->res, first->flags};
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	return found;
}

/* Does one request and returns its result; a zero-copy send is over after its notification. */
static inline int uring_do(struct uring *ring, struct io_uring_sqe request, const char *operation)
{
	uint32_t *tail = uring_word(ring->sq, ring->params.sq_off.tail);
	uint32_t slot = *tail & *uring_word(ring->sq, ring->params.sq_off.ring_mask);
	struct uring_result completion;

	if (ring->async)
		request.flags |= IOSQE_ASYNC;
	ring->entries[slot] = request;
	uring_word(ring->sq, ring->params.sq_off.array)[slot] = slot;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	completion = uring_await(ring, 1);
	if (completion.flags & IORING_CQE_F_MORE)
		uring_await(ring, 0);
	if (completion.result < 0) {
		errno = -completion.result;
		fail(operation);
	}
	return completion.result;
}

#endif
