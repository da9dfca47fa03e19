// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
/*
 * All programs as one object. One unit to compile, because the linker of Debian 12's bpftool cannot
 * join parts that call the same kernel function (kfunc).
 */
#include "flow_meter.bpf.c"
#include "capture_replay.bpf.c"
#include "socket_meter.bpf.c"
#include "socket_owner.bpf.c"
#include "datagram_owner.bpf.c"
#include "process_events.bpf.c"
#include "flow_expiry.bpf.c"

char LICENSE[] SEC("license") = "GPL";
