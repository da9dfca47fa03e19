/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/* SipHash-1-3, as the kernel's own hash tables have it, of 64-bit words, with the loader's seed. */
#ifndef PROCFLOW_SIP_HASH_H
#define PROCFLOW_SIP_HASH_H

#include "meter_settings.h"

#define ROTATE_LEFT(value, bits) ((value) << (bits) | (value) >> (64 - (bits)))

struct sip_state {
	__u64 v0, v1, v2, v3;
};

static __always_inline void sip_round(struct sip_state *s)
{
	s->v0 += s->v1;
	s->v1 = ROTATE_LEFT(s->v1, 13) ^ s->v0;
	s->v0 = ROTATE_LEFT(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = ROTATE_LEFT(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = ROTATE_LEFT(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = ROTATE_LEFT(s->v1, 17) ^ s->v2;
	s->v2 = ROTATE_LEFT(s->v2, 32);
}

static __always_inline void sip_word(struct sip_state *s, __u64 word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static __always_inline struct sip_state sip_begin(void)
{
	__u64 key0 = meter_settings.hash_seed[0], key1 = meter_settings.hash_seed[1];
	struct sip_state s = {
		.v0 = key0 ^ 0x736f6d6570736575ULL,
		.v1 = key1 ^ 0x646f72616e646f6dULL,
		.v2 = key0 ^ 0x6c7967656e657261ULL,
		.v3 = key1 ^ 0x7465646279746573ULL,
	};

	return s;
}

/* @octets: the message's length, below 256 */
static __always_inline __u64 sip_end(struct sip_state *s, __u64 octets)
{
	sip_word(s, octets << 56);
	s->v2 ^= 0xff;
	sip_round(s);
	sip_round(s);
	sip_round(s);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

#endif
