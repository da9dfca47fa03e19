/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * ICMP and ICMPv6 (RFC 792, RFC 4443): which types answer a request, which are errors, and the
 * packet that an error quotes, which was sent by whom the error is for.
 */
#ifndef PROCFLOW_ICMP_QUOTE_H
#define PROCFLOW_ICMP_QUOTE_H

#include "packet_octets.h"

/* In front of an identifier's rest or of the quoted packet. */
#define ICMP_ID_OFFSET	   4
#define ICMP_HEADER_LENGTH 8

#define ICMP_ECHO_REPLY	       0
#define ICMP_UNREACHABLE       3
#define ICMP_SOURCE_QUENCH     4
#define ICMP_REDIRECT	       5
#define ICMP_ECHO	       8
#define ICMP_TIME_EXCEEDED     11
#define ICMP_PARAMETER_PROBLEM 12
#define ICMP_TIMESTAMP	       13
#define ICMP_TIMESTAMP_REPLY   14
#define ICMPV6_UNREACHABLE     1
#define ICMPV6_LAST_ERROR      127
#define ICMPV6_ECHO	       128
#define ICMPV6_ECHO_REPLY      129

static __always_inline bool is_icmp(__u8 protocol)
{
	return protocol == IPPROTO_ICMP || protocol == IPPROTO_ICMPV6;
}

/* An identifier comes with echo and timestamp; for ICMPv6 with echo. */
static __always_inline bool has_icmp_id(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type == ICMPV6_ECHO || type == ICMPV6_ECHO_REPLY;
	return type == ICMP_ECHO_REPLY || type == ICMP_ECHO || type == ICMP_TIMESTAMP ||
	       type == ICMP_TIMESTAMP_REPLY;
}

static __always_inline bool is_icmp_error(__u8 protocol, __u8 type)
{
	if (protocol == IPPROTO_ICMPV6)
		return type >= ICMPV6_UNREACHABLE && type <= ICMPV6_LAST_ERROR;
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETER_PROBLEM;
}

/*
 * Type and code of the request that this type and code answer, 0 where they answer none. As in a
 * flow's key: the type is the first octet on the wire.
 */
static __always_inline __u16 icmp_request(__u8 protocol, __u16 type_and_code)
{
	switch (type_and_code & 0xff) {
	case ICMPV6_ECHO_REPLY:
		return protocol == IPPROTO_ICMPV6 ? ICMPV6_ECHO : 0;
	case ICMP_ECHO_REPLY:
		return protocol == IPPROTO_ICMP ? ICMP_ECHO : 0;
	case ICMP_TIMESTAMP_REPLY:
		return protocol == IPPROTO_ICMP ? ICMP_TIMESTAMP : 0;
	default:
		return 0;
	}
}

/* Where an error's quoted packet begins, by where its own ICMP header does. */
static __always_inline __u32 quote_offset(__u32 icmp_offset)
{
	return icmp_offset + ICMP_HEADER_LENGTH;
}

/* Extension headers in a quote are not followed. */
static __always_inline __u8 quoted_protocol(struct packet_octets from, __u8 ip_version, __u32 quote,
					    __u32 *transport_offset)
{
	__u8 first = 0, protocol = 0;

	if (ip_version == 6) {
		*transport_offset = quote + IPV6_HEADER_LENGTH;
		load_octets(from, quote + IPV6_NEXT_HEADER_OFFSET, &protocol, 1);
		return protocol;
	}
	load_octets(from, quote, &first, 1);
	*transport_offset = quote + (first & 0x0f) * 4;
	load_octets(from, quote + IPV4_PROTOCOL_OFFSET, &protocol, 1);
	return protocol;
}

/*
 * Ports as in struct packet: for ICMP the identifier, and type and code. False when the quote ends
 * before them.
 */
static __always_inline bool load_quoted_ports(struct packet_octets from, __u8 protocol,
					      __u32 offset, __u16 *source, __u16 *destination)
{
	__u16 header[4];

	if (load_octets(from, offset, header, sizeof(header)))
		return false;
	if (!is_icmp(protocol)) {
		*source = header[0];
		*destination = header[1];
		return true;
	}
	*destination = header[0];
	*source = has_icmp_id(protocol, header[0] & 0xff) ? header[2] : 0;
	return true;
}

/* What tells apart ICMP flows of different processes: an identifier, or the quoted source port. */
static __always_inline __u16 icmp_source(struct packet_octets from, __u8 ip_version, __u8 protocol,
					 __u32 offset, __u8 type)
{
	__u16 source = 0, destination;
	__u32 transport_offset;
	__u8 quoted;

	if (has_icmp_id(protocol, type)) {
		load_octets(from, offset + ICMP_ID_OFFSET, &source, sizeof(source));
		return source;
	}
	if (!is_icmp_error(protocol, type))
		return 0;
	quoted = quoted_protocol(from, ip_version, quote_offset(offset), &transport_offset);
	if (!load_quoted_ports(from, quoted, transport_offset, &source, &destination))
		return 0;
	return source;
}

#endif
