// Filter expressions for every part of pcap-filter(7) that packets of Ethernet and IP can match.

const PROTOCOLS = [
  ...['ip', 'ip6', 'arp', 'rarp', 'tcp', 'udp', 'icmp', 'icmp6', 'sctp', 'igmp', 'pim', 'vrrp'],
  ...['ah or esp', 'ip or ip6', 'not ip', 'not (tcp or udp or icmp or icmp6 or arp)'],
  ...['ip proto 17', 'ip proto \\tcp', 'ip proto 2', 'ip6 proto 58', 'ip6 proto \\udp', 'proto 47'],
  ...['ether proto 0x0806', 'ether proto \\ip', 'ether proto \\ip6', 'ether proto 0x8863'],
  ...['atalk', 'ipx', 'stp', 'iso', 'llc', 'mpls', 'mpls 100', 'mpls and ip', 'pppoed', 'pppoes'],
  ...['pppoes and ip', 'pppoes 0x11', 'geneve', 'carp', 'aarp', 'decnet src 10.1', 'isis', 'lat'],
];

const ADDRESSES = [
  ...[
    'host 192.168.0.30',
    'src host 192.168.0.30',
    'dst host 8.8.8.8',
    'host ::1',
    'arp host 10.5.5.1',
  ],
  ...[
    'host 8.8.8.8 or host 8.8.4.4 or host 74.53.140.153',
    'ip6 host ff02::fb',
    'src host fe80::1',
  ],
  ...['net 192.168.0.0/16', 'net 10.0.0.0/8 and not port 53', 'src net 10 or dst net 172.16'],
  ...['dst net 147.32.0.0 mask 255.255.0.0', 'net 147.229.180.0/22', 'ip6 net fe80::/10'],
  ...['src net 2001:718::/32', 'ip6 net ff00::/8 and udp', 'ip src and dst net 192.168', 'net 127'],
  ...['ip host 147.32.77.113 and not host 10.5.5.26', 'src or dst host 54.175.222.246'],
  ...['ether host ff:ff:ff:ff:ff:ff', 'ether src 00:00:00:00:00:00', 'ether dst 33:33:00:00:00:fb'],
  ...[
    'ether broadcast',
    'ether multicast',
    'ip multicast',
    'ip6 multicast',
    'broadcast',
    'multicast',
  ],
  ...['ip broadcast', 'not multicast and not broadcast'],
];

const PORTS = [
  ...['port 53', 'src port 53', 'dst port 53', 'tcp port 80', 'udp port 53 or tcp port 443'],
  ...['portrange 1000-2000', 'tcp dst portrange 0-1023', 'udp src portrange 32768-65535'],
  ...['port domain', 'dst port 5353 or 1900', 'port 123 and port 123', 'src or dst port 5060'],
  ...[
    'tcp and (port 80 or port 443) and not host 192.168.0.30',
    'not port 80',
    'ip6 and port 1900',
  ],
  ...['udp port 67 or 68 or 546 or 547', 'portrange 40000-60000 and tcp', 'src and dst port 123'],
];

const FLAGS_AND_TYPES = [
  ...['tcp[tcpflags] & (tcp-syn|tcp-fin) != 0', 'tcp[13] = 2', 'tcp[tcpflags] == tcp-ack'],
  ...[
    'tcp[tcpflags] & tcp-push != 0',
    'tcp[tcpflags] & (tcp-rst|tcp-fin) = 0',
    'tcp[13] & 0x3f = 0x12',
  ],
  ...['icmp[icmptype] = icmp-echo', 'icmp[icmptype] = icmp-unreach', 'icmp[0] = 8 or icmp[0] = 0'],
  ...[
    'icmp6[icmp6type] = icmp6-neighborsolicit',
    'icmp6[icmp6type] == icmp6-echo',
    'icmp6[0] >= 128',
  ],
];

const FRAGMENTS_AND_HEADERS = [
  ...[
    'ip[6:2] & 0x1fff != 0',
    'ip[6:2] & 0x2000 != 0',
    'ip[6:2] & 0x4000 != 0',
    'ip[6:2] & 0x3fff = 0',
  ],
  ...['ip[0] & 0xf != 5', 'ip[2:2] > 600', 'ip[8] < 64', 'ip[1] & 0xfc != 0', 'ip6[6] = 17'],
  ...[
    'ip6[6] = 44',
    'ip6 proto 44',
    'ip6[7] = 255',
    'ip6[40:2] = 53',
    'ip6[4:2] > 100',
    'ip and ip[9] != 6',
  ],
];

const LENGTHS = [
  ...[
    'len > 100',
    'greater 500',
    'less 64',
    'len == 60',
    'len <= 42 or len >= 1500',
    'len - ip[2:2] > 14',
  ],
  ...['len & 1 = 1', 'len % 16 = 0', '1514 <= len'],
];

const VLANS = [
  ...[
    'vlan',
    'vlan 1',
    'vlan 5',
    'vlan 7',
    'vlan and ip',
    'vlan and ip6',
    'vlan and tcp',
    'vlan and udp',
  ],
  ...[
    'vlan and port 53',
    'vlan 5 and udp port 53',
    'vlan and vlan',
    'vlan 100 and vlan 7',
    'not vlan',
  ],
  ...[
    'vlan and not ip',
    'udp or vlan',
    'vlan and host 10.0.0.1',
    'vlan 5 or vlan 7',
    'ip or (vlan and ip)',
  ],
  ...['vlan and vlan and udp', 'vlan and arp', 'vlan and len > 60', 'vlan 5 and ip6 protochain 17'],
];

const CHAINS = [
  ...[
    'ip6 protochain 17',
    'ip protochain 6',
    'ip6 protochain 58',
    'ip6 protochain 6',
    'protochain 17',
  ],
  ...['ip6 protochain 44', 'ip6 protochain 0', 'ip protochain 51', 'protochain 50 or tcp'],
];

const ARITHMETIC = [
  ...['tcp[2:2] % 2 = 1', 'ip[8] * 2 > 128', 'ip[2:2] / 2 > 100', 'ip[2:2] / ip[8] > 2'],
  ...[
    'ip[2:2] % ip[8] = 1',
    'ip[4:2] & ip[8] = 0',
    'ip[2:2] - 20 > 40',
    '-ip[0] < 10',
    'ip[8] << 2 > 200',
  ],
  ...[
    'ip[8] >> 3 = 8',
    '1 << ip[8] > 0',
    '1 << ip[9] = 0x20000',
    'ip[12:4] ^ ip[16:4] > 0x1000000',
  ],
  ...['ip[12:4] | ip[16:4] = 0xffffffff', 'ip[12:4] & ip[16:4] != 0', 'ip[20 + 2:2] = 443'],
  ...[
    'ip[2:2] / ip[6:2] > 1',
    'ip[2:2] % ip[1] = 0',
    'ip[4:2] * ip[4:2] > 0x7fffffff',
    '2 - ip[8] > 3',
  ],
];

const SLICES = [
  ...[
    'ether[0] & 1 = 0 and ip[16] >= 224',
    'ether[12:2] = 0x800',
    'ether[14] = 0x45',
    'ether[10:4] > 0',
  ],
  ...['ether[11:4] != 0', 'ether[13:2] = 69', 'ether[15:4] > 0x1000', 'ether[12:4] & 0xfff = 5'],
  ...[
    'ip[((ip[0]&0xf)<<2):2] = 53',
    'ip[ip[0] & 0xf] = 0',
    'udp[8:2] & 0x8000 != 0',
    'udp[4:2] > 100',
  ],
  ...['tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420', 'tcp[((tcp[12] & 0xf0) >> 2):4] = 0x48545450'],
  ...[
    'ether[100] = 0',
    'ether[1500] = 0',
    'ip[4000] = 0',
    'udp[ip[2:2]:1] = 0',
    'udp[udp[4:2] - 1] = 0',
  ],
  ...['link[0] = 0', 'ether[len - 1] = 0', 'ether[len - 4:4] != 0', 'ether[ether[14] & 0xf] > 8'],
  ...['ether[ether[0]:4] > 0x10000', 'tcp[4000:1] = 0 or udp', 'udp[8:4] = 0x4e4f5449'],
];

export const EXPRESSIONS: readonly string[] = [
  ...PROTOCOLS,
  ...ADDRESSES,
  ...PORTS,
  ...FLAGS_AND_TYPES,
  ...FRAGMENTS_AND_HEADERS,
  ...LENGTHS,
  ...VLANS,
  ...CHAINS,
  ...ARITHMETIC,
  ...SLICES,
];
