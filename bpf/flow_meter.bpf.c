// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a packet of an interface becomes a flow: parse, find the flow, add the packet, and give a
 * new flow its process.
 */
#include "flow_metering.h"
#include "packet_receiver.h"
#include "packet_sender.h"
#include "plain_packet.h"
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

METER_PLAIN(meter_plain_v4, flows_v4, struct flow_key_v4, read_plain_v4, count_metered)
METER_PLAIN(meter_plain_v6, flows_v6, struct flow_key_v6, read_plain_v6, count_metered)

static __always_inline bool meter_plain_frame(struct __sk_buff *skb, __u32 ip_offset,
					      __u16 ethertype, __u8 direction)
{
	bool has_socket = direction == FLOW_EGRESS;
	__u32 netns = meter_settings.netns;

	if (ethertype == bpf_htons(ETH_P_IP))
		return meter_plain_v4(skb, ip_offset, direction, netns, has_socket);
	return ethertype == bpf_htons(ETH_P_IPV6) &&
	       meter_plain_v6(skb, ip_offset, direction, netns, has_socket);
}

static __always_inline int meter_frame(struct __sk_buff *skb, __u8 direction)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (!allows_short_way() || data + ETH_HEADER_LENGTH > end ||
	    !meter_plain_frame(skb, ETH_HEADER_LENGTH, *(__u16 *)(data + 2 * MAC_LENGTH),
			       direction))
		go_long_way(skb, direction, true);
	return TC_ACT_UNSPEC;
}

/* Devices without a link layer: the kernel has noted which protocol it is. */
static __always_inline int meter_packet_alone(struct __sk_buff *skb, __u8 direction)
{
	if (!allows_short_way() || !meter_plain_frame(skb, 0, skb->protocol, direction))
		go_long_way(skb, direction, false);
	return TC_ACT_UNSPEC;
}

/* The long way of a packet: all that can be in it, and a flow's first. */
static __always_inline void meter_any_frame(struct __sk_buff *skb, struct metering *m)
{
	struct packet *packet = &m->packet;
	__u8 direction = m->direction;
	__u64 now;

	switch (parse_frame(skb, packet, m->ethernet)) {
	case PARSE_NOT_IP:
		count(NON_IP_FRAMES, 1);
		return;
	case PARSE_MALFORMED:
		count(MALFORMED_PACKETS, 1);
		return;
	}
	packet->interface_index = skb->ifindex;
	packet->netns = meter_settings.netns;
	if (packet->first_fragment || packet->later_fragment)
		match_fragment(packet, direction, bpf_ktime_get_boot_ns());
	if (meter_settings.sampling && !sample_packet(packet))
		return;
	now = bpf_ktime_get_boot_ns();
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet->flags |= FLOW_LOOPBACK;
	count_metered(packet->segments, packet->octets);
	if (packet->ip_version == 4)
		meter_frame_v4(skb, m->slot, direction, now);
	else
		meter_frame_v6(skb, m->slot, direction, now);
}

SEC("tc")
int frame_long_way(struct __sk_buff *skb)
{
	struct metering *m = arrive_on_long_way(skb);

	if (m) {
		meter_any_frame(skb, m);
		end_metering(m);
	}
	return TC_ACT_UNSPEC;
}

/*
 * TC, not XDP: it sees both directions, and egress packets with their socket. TCX from kernel 6.6,
 * clsact before. One program per direction and kind of link.
 */
SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return meter_frame(skb, FLOW_INGRESS);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return meter_frame(skb, FLOW_EGRESS);
}

SEC("tc")
int flow_ingress_ip(struct __sk_buff *skb)
{
	return meter_packet_alone(skb, FLOW_INGRESS);
}

SEC("tc")
int flow_egress_ip(struct __sk_buff *skb)
{
	return meter_packet_alone(skb, FLOW_EGRESS);
}
