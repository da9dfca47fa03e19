/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * Reads a packet's headers, wherever its octets are (packet_octets.h).
 */
#ifndef PROCFLOW_PACKET_H
#define PROCFLOW_PACKET_H

#include "icmp_quote.h"
#include "meter_counters.h"

#define MAX_VLAN_TAGS	      2
#define MAX_EXTENSION_HEADERS 8 /* a packet with more is metered with the ninth as protocol */

#define GSO_BY_FRAGS 0xffff /* SCTP: segments of differing length */

/* What one packet adds to its flow, and what names the flow. Ports and addresses as on the wire. */
struct packet {
	__u8 source_address[ADDRESS_LENGTH];
	__u8 destination_address[ADDRESS_LENGTH];
	__u64 octets;
	__u32 segments; /* packets on the wire */
	__u32 transport_offset;
	__u32 interface_index;
	__u32 netns;
	__u32 ip_offset;
	__u32 fragment_id;
	__u32 tcp_sequence;
	__u16 source_port;
	__u16 destination_port;
	__u16 min_length;
	__u16 max_length;
	__u16 tcp_flags;
	__u16 vlan_id;
	__u16 inner_vlan_id;
	__u8 macs[2 * MAC_LENGTH]; /* destination first, as in the frame */
	__u8 ip_version;
	__u8 protocol;
	__u8 ttl;
	__u8 tos;
	__u8 flags;	     /* enum flow_flag */
	bool first_fragment; /* carries the ports of those that follow */
	bool later_fragment; /* carries none */
	bool ports_unknown;  /* its first fragment has not been seen */
	__u8 at_receiver;    /* not 0: metered where it is received, skb->sk is the receiver's */
};

enum parse_result {
	PARSE_OK,
	PARSE_NOT_IP,
	PARSE_MALFORMED,
};

static __always_inline bool is_vlan(__u16 ethertype)
{
	return ethertype == bpf_htons(ETH_P_8021Q) || ethertype == bpf_htons(ETH_P_8021AD);
}

/* From the EtherType in front of it: tags, then what they tag. */
static __always_inline enum parse_result parse_tags(struct packet_octets from, struct packet *p,
						    __u16 ethertype, __u32 offset, int tags)
{
	for (int i = 0; i < MAX_VLAN_TAGS && is_vlan(ethertype); i++) {
		__u16 tag[2]; /* priority and VLAN id, then the next EtherType */

		if (load_octets(from, offset, tag, sizeof(tag)))
			return PARSE_MALFORMED;
		if (tags == 0)
			p->vlan_id = bpf_ntohs(tag[0]) & VLAN_ID_MASK;
		else if (tags == 1)
			p->inner_vlan_id = bpf_ntohs(tag[0]) & VLAN_ID_MASK;
		tags++;
		ethertype = tag[1];
		offset += VLAN_HEADER_LENGTH;
	}
	p->ip_offset = offset;
	if (ethertype == bpf_htons(ETH_P_IP))
		p->ip_version = 4;
	else if (ethertype == bpf_htons(ETH_P_IPV6))
		p->ip_version = 6;
	else
		return PARSE_NOT_IP;
	return PARSE_OK;
}

/* A tag may be in the skb instead of the frame (VLAN offload): then it is the outermost one. */
static __always_inline enum parse_result parse_ethernet(struct packet_octets from, struct packet *p)
{
	__u8 frame[ETH_HEADER_LENGTH];
	__u16 ethertype;
	int tags = 0;

	if (load_octets(from, 0, frame, sizeof(frame)))
		return PARSE_MALFORMED;
	__builtin_memcpy(p->macs, frame, sizeof(p->macs));
	__builtin_memcpy(&ethertype, &frame[2 * MAC_LENGTH], sizeof(ethertype));
	if (!from.is_packed && from.skb->vlan_present) {
		p->vlan_id = from.skb->vlan_tci & VLAN_ID_MASK;
		tags++;
	}
	return parse_tags(from, p, ethertype, ETH_HEADER_LENGTH, tags);
}

/* Devices without a link layer (tun, WireGuard): the packet begins with IP. */
static __always_inline enum parse_result parse_without_link_layer(struct packet_octets from,
								  struct packet *p)
{
	__u8 first;

	if (load_octets(from, 0, &first, sizeof(first)))
		return PARSE_MALFORMED;
	p->ip_offset = 0;
	p->ip_version = first >> 4;
	return p->ip_version == 4 || p->ip_version == 6 ? PARSE_OK : PARSE_NOT_IP;
}

/* Where the transport header begins and how much the packet says it holds after the IP header. */
struct ip_extent {
	__u32 transport_offset;
	__u32 stated_length; /* IP header included; 0 when not stated (BIG TCP, jumbograms) */
};

static __always_inline enum parse_result parse_ipv4(struct packet_octets from, struct packet *p,
						    struct ip_extent *extent)
{
	struct ipv4_header ip;
	__u32 header_length;
	__u16 fragment;

	if (load_octets(from, p->ip_offset, &ip, sizeof(ip)))
		return PARSE_MALFORMED;
	header_length = (ip.version_and_length & 0x0f) * 4;
	if (ip.version_and_length >> 4 != 4 || header_length < IPV4_MIN_HEADER_LENGTH)
		return PARSE_MALFORMED;
	__builtin_memcpy(p->source_address, ip.source, sizeof(ip.source));
	__builtin_memcpy(p->destination_address, ip.destination, sizeof(ip.destination));
	p->protocol = ip.protocol;
	p->ttl = ip.ttl;
	p->tos = ip.tos;
	fragment = bpf_ntohs(ip.fragment);
	if (fragment & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) {
		p->flags |= FLOW_FRAGMENTED;
		p->fragment_id = ip.id;
		p->later_fragment = fragment & IPV4_OFFSET_MASK;
		p->first_fragment = !p->later_fragment;
	}
	extent->transport_offset = p->ip_offset + header_length;
	extent->stated_length = bpf_ntohs(ip.total_length);
	if (extent->stated_length && extent->stated_length < header_length)
		return PARSE_MALFORMED;
	return PARSE_OK;
}

/* Steps over one extension header; false when `protocol` is not one. */
static __always_inline bool skip_extension_header(struct packet_octets from, struct packet *p,
						  __u32 *offset)
{
	__u8 header[8]; /* next header, length, then what the type has there */

	switch (p->protocol) {
	case IPPROTO_HOPOPTS:
	case IPPROTO_ROUTING:
	case IPPROTO_FRAGMENT:
	case IPPROTO_AH:
	case IPPROTO_DSTOPTS:
	case IPPROTO_MH:
	case IPPROTO_HIP:
	case IPPROTO_SHIM6:
		break;
	default:
		return false;
	}
	if (load_octets(from, *offset, header, sizeof(header)))
		return false; /* cut short: metered with the extension header as protocol */
	if (p->protocol == IPPROTO_FRAGMENT) {
		__u16 fragment = (header[2] << 8) | header[3];

		/* An "atomic" fragment (RFC 6946) is the whole packet. */
		if (fragment & (IPV6_MORE_FRAGMENTS | IPV6_OFFSET_MASK)) {
			p->flags |= FLOW_FRAGMENTED;
			p->later_fragment = fragment & IPV6_OFFSET_MASK;
			p->first_fragment = !p->later_fragment;
			__builtin_memcpy(&p->fragment_id, &header[4], sizeof(p->fragment_id));
		}
		*offset += 8;
	} else if (p->protocol == IPPROTO_AH) {
		*offset += (header[1] + 2) * 4;
	} else {
		*offset += (header[1] + 1) * 8;
	}
	p->protocol = header[0];
	return !p->later_fragment; /* what follows in a later fragment is payload */
}

static __always_inline enum parse_result parse_ipv6(struct packet_octets from, struct packet *p,
						    struct ip_extent *extent)
{
	__u32 offset = p->ip_offset + IPV6_HEADER_LENGTH;
	struct ipv6_header ip;
	__u32 first_word;

	if (load_octets(from, p->ip_offset, &ip, sizeof(ip)))
		return PARSE_MALFORMED;
	first_word = bpf_ntohl(ip.version_class_label);
	if (first_word >> 28 != 6)
		return PARSE_MALFORMED;
	__builtin_memcpy(p->source_address, ip.source, sizeof(ip.source));
	__builtin_memcpy(p->destination_address, ip.destination, sizeof(ip.destination));
	p->protocol = ip.next_header;
	p->ttl = ip.hop_limit;
	p->tos = first_word >> 20;
	for (int i = 0; i < MAX_EXTENSION_HEADERS; i++) {
		if (!skip_extension_header(from, p, &offset))
			break;
	}
	extent->transport_offset = offset;
	extent->stated_length =
		ip.payload_length ? bpf_ntohs(ip.payload_length) + IPV6_HEADER_LENGTH : 0;
	return PARSE_OK;
}

static __always_inline bool load_ports(struct packet_octets from, struct packet *p, __u32 offset)
{
	__u16 ports[2];

	if (load_octets(from, offset, ports, sizeof(ports)))
		return false;
	p->source_port = ports[0];
	p->destination_port = ports[1];
	return true;
}

/*
 * Ports; for ICMP the identifier of an echo as source and type * 256 + code as destination port; an
 * ICMP error has the source port of the packet that it quotes, so that errors for different
 * processes are different flows.
 * Returns the transport header's length, as far as it is known and repeated in each segment. A
 * header that is cut short leaves the ports 0: the packet is on the wire, so it is metered.
 */
static __always_inline __u32 parse_transport(struct packet_octets from, struct packet *p,
					     __u32 offset)
{
	__u8 header[14];

	switch (p->protocol) {
	case IPPROTO_TCP:
		if (load_octets(from, offset, header, sizeof(header))) {
			load_ports(from, p, offset); /* a first fragment can end behind them */
			return 0;
		}
		p->tcp_flags = ((header[12] << 8) | header[13]) & TCP_FLAGS_MASK;
		if (p->tcp_flags & (TCP_FIN | TCP_RST))
			p->flags |= FLOW_ENDED;
		__builtin_memcpy(&p->source_port, &header[0], 2);
		__builtin_memcpy(&p->destination_port, &header[2], 2);
		__builtin_memcpy(&p->tcp_sequence, &header[4], 4);
		return (header[12] >> 4) * 4;
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (!load_ports(from, p, offset))
			return 0;
		return p->protocol == IPPROTO_SCTP ? SCTP_HEADER_LENGTH : UDP_HEADER_LENGTH;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (load_octets(from, offset, header, 2))
			return 0;
		__builtin_memcpy(&p->destination_port, &header[0], 2);
		p->source_port = icmp_source(from, p->ip_version, p->protocol, offset, header[0]);
		return 0;
	default:
		return 0;
	}
}

/* Longer ones are cut to what the record has room for. */
static __always_inline __u16 as_length(__u64 octets)
{
	return octets > 0xffff ? 0xffff : octets;
}

/*
 * Octets and packets as on the wire. A frame can be padded, so a single packet is as long as its
 * IP header says, at most what is there. An offloaded one stands for several packets, each of
 * which repeats the headers.
 */
static __always_inline void measure(struct packet_octets from, struct packet *p,
				    const struct ip_extent *extent, __u32 transport_length,
				    __u32 wire_length)
{
	__u32 frame_length = octets_on_wire(from);
	__u32 available = frame_length > p->ip_offset ? frame_length - p->ip_offset : 0;
	__u32 headers = extent->transport_offset - p->ip_offset + transport_length;
	__u32 gso_size = from.is_packed ? 0 : from.skb->gso_size;
	__u32 segments = from.is_packed ? 0 : from.skb->gso_segs;
	__u32 payload, last;

	if (!gso_size || available <= headers) {
		__u32 length = extent->stated_length;

		if (!length || length > available)
			length = available;
		p->segments = 1;
		p->octets = length;
		p->min_length = p->max_length = as_length(length);
		return;
	}
	payload = available - headers;
	/* Guests and tun leave it to be computed; and each segment has an octet at least. */
	if (!segments || segments > payload)
		segments = (payload + gso_size - 1) / gso_size;
	p->segments = segments;
	/* On egress the kernel has counted repeated headers, those inside of a tunnel included. */
	if (segments > 1 && gso_size != GSO_BY_FRAGS && wire_length > frame_length) {
		__u32 repeated = (wire_length - frame_length) / (segments - 1);

		/* It counted them by segments of its own, where a guest gave none. */
		if (repeated > p->ip_offset + headers && repeated < p->ip_offset + available) {
			headers = repeated - p->ip_offset;
			payload = available - headers;
		}
	}
	p->octets = available + (__u64)(segments - 1) * headers;
	if (gso_size == GSO_BY_FRAGS || segments == 1) {
		p->min_length = p->max_length = as_length(p->octets / segments);
		return;
	}
	last = payload - (segments - 1) * gso_size;
	p->max_length = as_length(headers + (gso_size < payload ? gso_size : payload));
	p->min_length = last <= gso_size ? as_length(headers + last) : p->max_length;
}

/*
 * What follows the link layer.
 * @wire_length: the frame's, as the kernel has computed it for egress; 0 where it did not
 */
static __always_inline enum parse_result parse_ip(struct packet_octets from, struct packet *p,
						  __u32 wire_length)
{
	struct ip_extent extent = {};
	__u32 transport_length = 0;
	enum parse_result result;

	result = p->ip_version == 4 ? parse_ipv4(from, p, &extent) : parse_ipv6(from, p, &extent);
	if (result != PARSE_OK)
		return result;
	if (!p->later_fragment)
		transport_length = parse_transport(from, p, extent.transport_offset);
	p->transport_offset = extent.transport_offset;
	measure(from, p, &extent, transport_length, wire_length);
	return PARSE_OK;
}

static __always_inline enum parse_result parse_packet(struct __sk_buff *skb, struct packet *p,
						      bool ethernet, __u32 wire_length)
{
	struct packet_octets from = octets_of(skb);
	enum parse_result result;

	result = ethernet ? parse_ethernet(from, p) : parse_without_link_layer(from, p);
	return result == PARSE_OK ? parse_ip(from, p, wire_length) : result;
}

#endif
