// What tells flows apart, in softflowd's words, from the most to the least: Ethernet addresses, VLAN
// tags, ports and protocol, protocol, nothing but the IP addresses. Each has what follows it.
export const TRACK_LEVELS = ['ether', 'vlan', 'full', 'proto', 'ip'] as const;

export type TrackLevel = (typeof TRACK_LEVELS)[number];
