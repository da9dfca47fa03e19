// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a frame of a capture file becomes a flow: the way of a packet of an interface, but for its
 * time, which is the capture's, and its processes, of which nothing is known.
 */
#include "flow_metering.h"
#include "sampling.h"

#define REPLAY_CURSOR 0 /* in skb->cb: where the next frame begins */

/* Frames that were taken, well or badly. User space asks when a run was interrupted. */
__u64 frames_replayed SEC(".bss.replay");

/* They use the skb, which the compiler would else not hand on as the verifier demands. */
#define NOBODY(name, key_type)                                                                     \
	static __always_inline void name(struct __sk_buff *skb, struct packet *p,                  \
					 struct end_owner *near, struct end_owner *far,            \
					 key_type *key, __u64 now)                                 \
	{                                                                                          \
		asm volatile("" ::"r"(skb));                                                       \
	}                                                                                          \
                                                                                                   \
	static __always_inline __u32 name##_pid(struct __sk_buff *skb, struct packet *p,           \
						__u8 direction)                                    \
	{                                                                                          \
		return 0;                                                                          \
	}

NOBODY(attribute_to_nobody_v4, struct flow_key_v4)
NOBODY(attribute_to_nobody_v6, struct flow_key_v6)
METER_IN(meter_replayed_v4, flows_v4, struct flow_key_v4, 4, attribute_to_nobody_v4)
METER_IN(meter_replayed_v6, flows_v6, struct flow_key_v6, 6, attribute_to_nobody_v6)

/* @start: where the frame's octets begin in the skb */
__noinline int parse_replayed(struct __sk_buff *skb, struct packet *p, struct replay_frame *frame,
			      __u32 start)
{
	enum parse_result result;
	struct packet_octets from = {
		.skb = skb,
		.is_packed = true,
		.start = start,
	};

	if (!p || !frame)
		return PARSE_MALFORMED;
	from.length = frame->captured_length;
	from.wire_length = frame->wire_length;
	if (frame->ethertype)
		result = parse_tags(from, p, bpf_htons(frame->ethertype), frame->link_octets, 0);
	else
		result = parse_ethernet(from, p);
	return result == PARSE_OK ? parse_ip(from, p, 0) : result;
}

static __always_inline void meter_replayed(struct __sk_buff *skb, struct metering *m,
					   struct replay_frame *frame, __u32 start)
{
	struct packet *packet = &m->packet;

	switch (parse_replayed(skb, packet, frame, start)) {
	case PARSE_NOT_IP:
		count(NON_IP_FRAMES, 1);
		return;
	case PARSE_MALFORMED:
		count(MALFORMED_PACKETS, 1);
		return;
	}
	packet->interface_index = frame->interface_index;
	packet->flags |= FLOW_REPLAYED;
	if (packet->first_fragment || packet->later_fragment)
		match_fragment(packet, FLOW_INGRESS, frame->time_ns);
	if (meter_settings.sampling && !sample_packet(packet))
		return;
	count_metered(packet->segments, packet->octets);
	if (packet->ip_version == 4)
		meter_replayed_v4(skb, m->slot, FLOW_INGRESS, frame->time_ns);
	else
		meter_replayed_v6(skb, m->slot, FLOW_INGRESS, frame->time_ns);
}

/*
 * A classifier, because BPF_PROG_TEST_RUN hands it octets and a cursor. One system call runs it
 * several times on the same skb: each run takes the next frame (docs/adr/0015-capture-files.md).
 */
SEC("tc")
int replay_frames(struct __sk_buff *skb)
{
	__u32 start = skb->cb[REPLAY_CURSOR];
	struct replay_frame frame;
	struct metering *m;

	if (bpf_skb_load_bytes(skb, start, &frame, sizeof(frame)))
		return TC_ACT_UNSPEC;
	start += sizeof(frame);
	skb->cb[REPLAY_CURSOR] = start + frame.captured_length;
	m = begin_metering(skb);
	if (m) {
		meter_replayed(skb, m, &frame, start);
		end_metering(m);
	}
	frames_replayed++;
	return TC_ACT_UNSPEC;
}
