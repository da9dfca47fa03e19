// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * Where a packet of an interface becomes a flow: parse, find the flow, add the packet, and give a
 * new flow its process.
 */
#include "flow_metering.h"
#include "flow_owner.h"

#define TC_ACT_UNSPEC (-1) /* go on with the next program: procflow only looks */

char LICENSE[] SEC("license") = "GPL";

/* Looks for the processes at this packet's sockets; false when one is still not known. */
static __always_inline bool find_owners(struct __sk_buff *skb, struct flow_entry *entry,
					const struct packet *p, __u8 direction, __u64 now)
{
	bool known = true;

	if (direction == FLOW_EGRESS && !find_sender(skb, &entry->owners[SOURCE]))
		known = entry->owners[SOURCE].owner.pid;
	if ((direction == FLOW_INGRESS || skb->ifindex == LOOPBACK_IFINDEX) &&
	    !find_receiver(skb, p, &entry->owners[DESTINATION]))
		known = known && entry->owners[DESTINATION].owner.pid;
	entry->owner_checked_ns = now;
	return known;
}

static __always_inline bool owners_are_due(struct __sk_buff *skb, const struct flow_entry *entry,
					   const struct packet *p, __u8 direction, __u64 now)
{
	if (direction == FLOW_EGRESS && (owner_is_due(entry, SOURCE, p, now) ||
					 sent_by_another_socket(skb, &entry->owners[SOURCE])))
		return true;
	return (direction == FLOW_INGRESS || skb->ifindex == LOOPBACK_IFINDEX) &&
	       owner_is_due(entry, DESTINATION, p, now);
}

METER_IN(meter_frame_v4, flows_v4, struct flow_key_v4, 4)
METER_IN(meter_frame_v6, flows_v6, struct flow_key_v6, 6)

/* A global function, so that the verifier walks its many paths once and not per caller. */
__noinline int parse_frame(struct __sk_buff *skb, struct packet *p, bool ethernet)
{
	if (!p)
		return PARSE_MALFORMED;
	return parse_packet(skb, p, ethernet, skb->wire_len);
}

static __always_inline int meter(struct __sk_buff *skb, bool ethernet, __u8 direction)
{
	struct packet packet = {};
	__u64 now;

	switch (parse_frame(skb, &packet, ethernet)) {
	case PARSE_NOT_IP:
		count(NON_IP_FRAMES, 1);
		return TC_ACT_UNSPEC;
	case PARSE_MALFORMED:
		count(MALFORMED_PACKETS, 1);
		return TC_ACT_UNSPEC;
	}
	packet.interface_index = skb->ifindex;
	packet.netns = meter_settings.netns;
	now = bpf_ktime_get_boot_ns();
	if (packet.first_fragment || packet.later_fragment)
		match_fragment(&packet, direction, now);
	if (skb->ifindex == LOOPBACK_IFINDEX)
		packet.flags |= FLOW_LOOPBACK;
	count_metered(packet.segments, packet.octets);
	if (packet.ip_version == 4)
		meter_frame_v4(skb, &packet, direction, now);
	else
		meter_frame_v6(skb, &packet, direction, now);
	return TC_ACT_UNSPEC;
}

/*
 * TC, not XDP: it sees both directions, and egress packets with their socket. TCX from kernel 6.6,
 * clsact before. One program per direction and kind of link.
 */
SEC("tc")
int flow_ingress(struct __sk_buff *skb)
{
	return meter(skb, true, FLOW_INGRESS);
}

SEC("tc")
int flow_egress(struct __sk_buff *skb)
{
	return meter(skb, true, FLOW_EGRESS);
}

SEC("tc")
int flow_ingress_ip(struct __sk_buff *skb)
{
	return meter(skb, false, FLOW_INGRESS);
}

SEC("tc")
int flow_egress_ip(struct __sk_buff *skb)
{
	return meter(skb, false, FLOW_EGRESS);
}
