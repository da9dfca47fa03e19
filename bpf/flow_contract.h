/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only */
/*
 * The contract between the BPF programs and the daemon: every structure, enumeration and limit
 * that both sides use is written here and nowhere else. src/flow/flow-contract.gen.ts is
 * generated from the BTF of the compiled object, and the loader checks it against the BTF of the
 * object it loads.
 *
 * Integers are in host order (little endian) unless the comment says network order; addresses and
 * ports are in network order because they only ever travel to the wire. Every time is
 * CLOCK_BOOTTIME in nanoseconds: it runs on through suspend and knows no clock steps.
 */
#ifndef PROCFLOW_FLOW_CONTRACT_H
#define PROCFLOW_FLOW_CONTRACT_H

#include <linux/types.h>

#define COMM_LENGTH    16
#define MAC_LENGTH     6
#define ADDRESS_LENGTH 16

/*
 * Changed whenever the meaning of something below, or of what a map holds, changes without its
 * layout changing: maps outlive the programs (docs/adr/0019-state-across-restarts.md).
 */
enum contract {
	CONTRACT_VERSION = 2,
};

/* flowDirection (61) as IANA numbers it. */
enum flow_direction {
	FLOW_INGRESS = 0,
	FLOW_EGRESS = 1,
};

/* How the process of a flow was found, best first. */
enum attribution_method {
	ATTRIBUTION_UNKNOWN = 0,
	ATTRIBUTION_SOCKET = 1,
	ATTRIBUTION_SNAPSHOT = 2,
	ATTRIBUTION_LISTENER = 3,
	ATTRIBUTION_REVERSE_FLOW = 4,
	ATTRIBUTION_ICMP_ID = 5,
	ATTRIBUTION_ICMP_ERROR = 6,
	ATTRIBUTION_KERNEL = 7,
	ATTRIBUTION_FORWARDED = 8,
};

/* What is known of an owner besides who it is. */
enum owner_flag {
	OWNER_USED = 1,	   /* seen using the socket, so that only another user's I/O replaces it */
	OWNER_BY_PEER = 2, /* noted for one datagram, before it left or when it was received */
	OWNER_SHARED = 4,  /* it has passed from one process to another */
};

/* Why a flow has no process although one was looked for. */
enum unknown_reason {
	REASON_NONE = 0,
	REASON_NO_SOCKET = 1,	   /* none matches, and nothing else tells */
	REASON_NO_OWNER = 2,	   /* a socket that nobody was seen creating or using */
	REASON_OWNER_CHANGING = 3, /* its owner was being written each time it was read */
	REASON_FRAGMENT = 4,	   /* a later fragment whose first one is not known */
	REASON_SHARED = 6,	   /* several processes use the socket, and which is forgotten */
};

/* flowEndReason (136) as IANA numbers it. */
enum flow_end_reason {
	FLOW_END_IDLE_TIMEOUT = 1,
	FLOW_END_ACTIVE_TIMEOUT = 2,
	FLOW_END_DETECTED = 3,
	FLOW_END_FORCED = 4,
	FLOW_END_LACK_OF_RESOURCES = 5,
};

enum flow_flag {
	FLOW_FRAGMENTED = 1, /* a fragment was among the packets */
	FLOW_ENDED = 2,	     /* a FIN or RST was among the packets */
	FLOW_LOOPBACK = 4,   /* both ends are on this host: two processes */
	FLOW_REPLAYED = 8,   /* from a capture file: no end is taken to be on this host */
};

/* A process: the thread group, named by its leader. Compared by (pid, start_ns, exec_id). */
struct process_owner {
	__u64 start_ns;	 /* start of the leader */
	__u64 cgroup_id; /* in cgroup v2 */
	__u32 pid;	 /* thread group id in the initial pid namespace; 0: no process */
	__u32 uid;	 /* effective, in the initial user namespace */
	__u32 exec_id;	 /* counts the execs of this pid: another program is another owner */
	__u8 method;	 /* enum attribution_method */
	__u8 flags;	 /* enum owner_flag */
	__u8 reason;	 /* enum unknown_reason, where method is unknown */
	__u8 padding;
	__u8 comm[COMM_LENGTH]; /* NUL padded */
};

/*
 * An expired flow as the daemon reads it, from the iterator and from the ring buffer alike.
 * An IPv4 address fills the first four octets of its field.
 */
struct flow_record {
	__u64 first_ns;
	__u64 last_ns;
	__u64 packets; /* as on the wire: the segments of an offloaded packet count each */
	__u64 octets;  /* IP level, headers of all those segments included */
	struct process_owner source;	     /* pid 0 where the source is not on this host */
	struct process_owner destination;    /* pid 0 where the destination is not on this host */
	__u8 source_address[ADDRESS_LENGTH]; /* network order */
	__u8 destination_address[ADDRESS_LENGTH]; /* network order */
	__u32 interface_index;
	__u32 netns;		/* inode number of the network namespace, as lsns shows it */
	__u16 source_port;	/* network order; 0 for ICMP and for protocols without ports */
	__u16 destination_port; /* network order; for ICMP type * 256 + code */
	__u16 icmp_type_code;	/* network order; type * 256 + code, 0 when not ICMP */
	__u16 icmp_id;		/* network order; identifier of an echo, or what an error quotes */
	__u16 min_length;	/* IP packet lengths in octets */
	__u16 max_length;
	__u16 tcp_flags;     /* all packets' flags or-ed: the low 12 bits of octets 13-14 */
	__u16 vlan_id;	     /* outermost tag, 0 without one */
	__u16 inner_vlan_id; /* second tag of QinQ, 0 without one */
	__u8 min_ttl;
	__u8 max_ttl;
	__u8 source_mac[MAC_LENGTH];
	__u8 destination_mac[MAC_LENGTH];
	__u8 ip_version; /* 4 or 6 */
	__u8 protocol;
	__u8 direction;	 /* enum flow_direction */
	__u8 tos;	 /* of the flow's first packet */
	__u8 end_reason; /* enum flow_end_reason */
	__u8 flags;	 /* enum flow_flag */
	__u8 padding[2];
};

/* Slots of the counters map; each is one __u64 per CPU. */
enum meter_counter {
	METERED_PACKETS,   /* wire packets counted to a flow */
	METERED_OCTETS,	   /* their IP-level octets */
	NON_IP_FRAMES,	   /* ARP, LLDP and so on: seen, not metered */
	MALFORMED_PACKETS, /* an IP header that is cut short or contradicts itself */
	FLOWS_CREATED,
	FLOWS_DELETED,
	SINGLE_PACKET_RECORDS, /* sent through the ring buffer because the cache had no place */
	CACHE_FULL_PACKETS,    /* of these, because the flow cache was full */
	LOST_PACKETS,	       /* not recorded: the ring buffer was full too */
	LOST_OCTETS,
	EXPIRY_DEFERRED,     /* flows left for the next sweep: their counters were being changed */
	OWNERS_NOT_STORED,   /* no memory for a socket's owner */
	FRAGMENTS_UNMATCHED, /* later fragments whose first one is not known: ports 0 */
	PROCESS_EVENTS_LOST, /* of exec, fork and exit: their ring buffer was full */
	NOT_SAMPLED_PACKETS, /* wire packets that sampling passed over */
	NOT_SAMPLED_OCTETS,  /* their IP-level octets */
	METER_COUNTERS,	     /* how many there are */
};

/* By which idle timeout a flow ends. */
enum idle_timeout {
	IDLE_GENERAL = 0,
	IDLE_TCP = 1,
	IDLE_TCP_RST = 2, /* a RST was among the packets: a flow ends, and is not only silent */
	IDLE_TCP_FIN = 3, /* a FIN, likewise */
	IDLE_UDP = 4,
	IDLE_ICMP = 5,
	IDLE_TIMEOUTS, /* how many there are */
};

/* What a sweep does with the flows. */
enum sweep_scope {
	SWEEP_EXPIRED = 0,
	SWEEP_ALL = 1,	/* every flow leaves, with FLOW_END_FORCED */
	SWEEP_PEEK = 2, /* a record of each, which stays where it is; end_reason 0 */
	SWEEP_LAST_SEEN =
		3, /* of each, in the place of a record, its last packet's time: one __u64 */
};

/* What a sweep of the flow cache shall expire. One element, written before each sweep. */
struct expiry_settings {
	__u64 now_ns; /* 0: the clock; of a capture file, its own time */
	__u64 active_timeout_ns;
	__u64 idle_timeout_ns[IDLE_TIMEOUTS]; /* by enum idle_timeout */
	__u64 early_until_ns; /* silent since then or longer: FLOW_END_LACK_OF_RESOURCES; 0: none */
	__u64 clock_ns;	      /* the sweep's own: the clock, which it reads now and then */
	__u32 scope;	      /* enum sweep_scope */
	__u32 padding;
};

/* Which packets are metered: one in sampling_interval. Counters are not scaled up. */
enum sampling_kind {
	SAMPLING_NONE = 0,   /* all */
	SAMPLING_COUNT = 1,  /* every sampling_interval-th wire packet */
	SAMPLING_RANDOM = 2, /* each wire packet with the same probability */
	SAMPLING_FLOW = 3,   /* all packets of a connection or none, both directions alike */
};

/* What tells flows apart, beside the interface and the direction. */
enum track_level {
	TRACK_FULL = 0,	    /* addresses, protocol, ports */
	TRACK_VLAN = 1,	    /* and VLAN tags; at interfaces only */
	TRACK_ETHERNET = 2, /* and MAC addresses; at interfaces only */
	TRACK_PROTOCOL = 3, /* addresses, protocol */
	TRACK_IP = 4,	    /* addresses */
};

/* What the programs are told before they are loaded. */
struct meter_settings {
	__u64 watched_cgroup;	 /* whose sockets are metered; 0: all, or capture at interfaces */
	__u64 hash_seed[2];	 /* secret, so that nobody can choose what is metered, or as what */
	__u32 netns;		 /* in which interfaces are metered: inode number */
	__u32 sampling_interval; /* at least 1 */
	__u8 can_cast;		 /* the kernel has bpf_cast_to_kern_ctx and bpf_rdonly_cast (6.2) */
	__u8 sampling;		 /* enum sampling_kind */
	__u8 track_level;	 /* enum track_level */
	__u8 track_process;	 /* the process on this host tells flows apart too */
	__u8 at_sockets;	 /* where packets are captured; else at interfaces */
	__u8 padding[3];
};

/* In front of each frame of a capture file; several, each with its octets, are handed in at once.
 */
struct replay_frame {
	__u64 time_ns;	       /* the capture's; not 0 */
	__u32 wire_length;     /* octets that the frame had */
	__u32 captured_length; /* of them, those that follow */
	__u32 interface_index;
	__u16 link_octets; /* before what `ethertype` tells */
	__u16 ethertype;   /* 0: the frame begins with an Ethernet header, which tells all of it */
};

/* What a process_event tells. */
enum process_event_kind {
	PROCESS_FOUND = 0, /* it lived when all processes were listed */
	PROCESS_FORKED = 1,
	PROCESS_EXECUTED = 2,
	PROCESS_EXITED = 3,
};

/*
 * A process begins, becomes another program, or ends. Compared by (pid, start_ns, exec_id), as
 * owners are. After an exec follow the strings: the file name as executed, then the arguments, NUL
 * after each.
 */
struct process_event {
	__u64 start_ns;	 /* start of the leader */
	__u64 cgroup_id; /* in cgroup v2 */
	__u64 parent_start_ns;
	__u32 pid;
	__u32 exec_id;
	__u32 parent_pid; /* of a fork: the process that forked, whose program the child runs */
	__u16 executable_octets; /* 0: it could not be read */
	__u16 arguments_octets;
	__u8 parent_comm[COMM_LENGTH]; /* NUL padded */
	__u8 kind;		       /* enum process_event_kind */
	__u8 is_script; /* the first argument is the interpreter that runs the file */
	__u8 padding[6];
};

#define EXECUTABLE_LENGTH 256
#define ARGUMENTS_LENGTH  1024

/* The largest event. Only what is filled of `strings` is sent. */
struct exec_event {
	struct process_event event;
	__u8 strings[EXECUTABLE_LENGTH + ARGUMENTS_LENGTH];
};

_Static_assert(sizeof(struct process_owner) == 48, "process_owner");
_Static_assert(sizeof(struct flow_record) == 208, "flow_record");
_Static_assert(sizeof(struct expiry_settings) == 88, "expiry_settings");
_Static_assert(sizeof(struct meter_settings) == 40, "meter_settings");
_Static_assert(sizeof(struct replay_frame) == 24, "replay_frame");
_Static_assert(sizeof(struct process_event) == 64, "process_event");
_Static_assert(sizeof(struct exec_event) == 64 + EXECUTABLE_LENGTH + ARGUMENTS_LENGTH,
	       "exec_event");

#endif
