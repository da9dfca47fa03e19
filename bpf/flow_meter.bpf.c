// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a packet of an interface becomes a flow: parse, find the flow, add the packet, and give a
 * new flow its process.
 */
#include "flow_metering.h"
#include "packet_receiver.h"
#include "packet_sender.h"
#include "sampling.h"

#define TC_ACT_UNSPEC (-1) /* go on with the next program: procflow only looks */

static __always_inline enum find_result find_at_interface(struct __sk_buff *skb,
							  const struct packet *p,
							  enum flow_side side,
							  struct guarded_owner *known)
{
	return side == SOURCE ? find_sender(skb, p, known) : find_receiver(skb, p, known);
}

ATTRIBUTE(attribute_frame_v4, flows_v4, struct flow_key_v4, 4, find_at_interface)
ATTRIBUTE(attribute_frame_v6, flows_v6, struct flow_key_v6, 6, find_at_interface)
METER_IN(meter_frame_v4, flows_v4, struct flow_key_v4, 4, attribute_frame_v4)
METER_IN(meter_frame_v6, flows_v6, struct flow_key_v6, 6, attribute_frame_v6)

/* A global function, so that the verifier walks its many paths once and not per caller. */
__noinline int parse_frame(struct __sk_buff *skb, struct packet *p, bool ethernet)
{
	if (!p)
		return PARSE_MALFORMED;
	return parse_packet(skb, p, ethernet, skb->wire_len);
}

/* Not on the stack, which the search for a socket needs; packet programs do not interrupt each
 * other. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct packet);
} parsed_frame SEC(".maps");

static __always_inline int meter_frame(struct __sk_buff *skb, bool ethernet, __u8 direction)
{
	struct packet *packet;
	__u32 zero = 0;
	__u64 now;

	packet = bpf_map_lookup_elem(&parsed_frame, &zero);
	if (!packet)
		return TC_ACT_UNSPEC;
	__builtin_memset(packet, 0, sizeof(*packet));
	switch (parse_frame(skb, packet, ethernet)) {
	case PARSE_NOT_IP:
		count(NON_IP_FRAMES, 1);
		return TC_ACT_UNSPEC;
	case PARSE_MALFORMED:
		count(MALFORMED_PACKETS, 1);
		return TC_ACT_UNSPEC;
	}
	packet->interface_index = skb->ifindex;
	packet->netns = meter_settings.netns;
	if (packet->first_fragment || packet->later_fragment)
		match_fragment(packet, direction, bpf_ktime_get_boot_ns());
	if (meter_settings.sampling && !sample_packet(packet))
		return TC_ACT_UNSPEC;
	now = bpf_ktime_get_boot_ns();
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet->flags |= FLOW_LOOPBACK;
	count_metered(packet->segments, packet->octets);
	if (packet->ip_version == 4)
		meter_frame_v4(skb, packet, direction, now);
	else
		meter_frame_v6(skb, packet, direction, now);
	return TC_ACT_UNSPEC;
}

/*
 * TC, not XDP: it sees both directions, and egress packets with their socket. TCX from kernel 6.6,
 * clsact before. One program per direction and kind of link.
 */
SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return meter_frame(skb, true, FLOW_INGRESS);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return meter_frame(skb, true, FLOW_EGRESS);
}

SEC("tc")
int flow_ingress_ip(struct __sk_buff *skb)
{
	return meter_frame(skb, false, FLOW_INGRESS);
}

SEC("tc")
int flow_egress_ip(struct __sk_buff *skb)
{
	return meter_frame(skb, false, FLOW_EGRESS);
}
