/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* Headers on the wire, and the numbers in them. */
#ifndef PROCFLOW_IP_HEADERS_H
#define PROCFLOW_IP_HEADERS_H

#include "kernel_types.h"
#include "flow_contract.h"

/* EtherTypes and protocols, in host order; names as in the uapi headers. */
#define ETH_HEADER_LENGTH  14
#define VLAN_HEADER_LENGTH 4
#define VLAN_ID_MASK	   0x0fff
#define ETH_P_IP	   0x0800
#define ETH_P_IPV6	   0x86dd
#define ETH_P_8021Q	   0x8100
#define ETH_P_8021AD	   0x88a8

#define IPPROTO_HOPOPTS	 0
#define IPPROTO_ICMP	 1
#define IPPROTO_TCP	 6
#define IPPROTO_UDP	 17
#define IPPROTO_DCCP	 33
#define IPPROTO_ROUTING	 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_AH	 51
#define IPPROTO_ICMPV6	 58
#define IPPROTO_DSTOPTS	 60
#define IPPROTO_SCTP	 132
#define IPPROTO_MH	 135
#define IPPROTO_UDPLITE	 136
#define IPPROTO_HIP	 139
#define IPPROTO_SHIM6	 140
#define IPPROTO_RAW	 255 /* of a socket that writes its own headers */
#define IPPROTO_MPTCP	 262 /* of a socket, never of a packet */

#define IPV4_MIN_HEADER_LENGTH	20
#define IPV4_PROTOCOL_OFFSET	9
#define IPV4_ADDRESSES_OFFSET	12
#define IPV6_HEADER_LENGTH	40
#define IPV6_NEXT_HEADER_OFFSET 6
#define IPV6_ADDRESSES_OFFSET	8
#define UDP_HEADER_LENGTH	8
#define TCP_MIN_HEADER_LENGTH	20
#define SCTP_HEADER_LENGTH	12
#define IPV4_MORE_FRAGMENTS	0x2000
#define IPV4_OFFSET_MASK	0x1fff
#define IPV6_MORE_FRAGMENTS	0x0001
#define IPV6_OFFSET_MASK	0xfff8
#define TCP_FLAGS_MASK		0x0fff
#define TCP_FIN			0x01
#define TCP_SYN			0x02
#define TCP_RST			0x04
#define TCP_PSH			0x08
#define TCP_ACK			0x10

struct ipv4_header {
	__u8 version_and_length;
	__u8 tos;
	__u16 total_length;
	__u16 id;
	__u16 fragment;
	__u8 ttl;
	__u8 protocol;
	__u16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct ipv6_header {
	__u32 version_class_label;
	__u16 payload_length;
	__u8 next_header;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
};

#endif
