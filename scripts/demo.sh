#!/usr/bin/env bash
# Shows what procflow is for: two hosts (network namespaces joined by a cable) talk to each other,
# procflow exports their flows to real collectors, and these say which process made each flow.
# Touches nothing but what it makes itself, and removes all of it again.
set -euo pipefail
export PATH="$PATH:/usr/sbin:/sbin"
cd "$(dirname "$0")/.."

generators=$PWD/build/test/generators
tag=procflow-demo-$$
client=$tag-client
server=$tag-server
work=$(mktemp -d)
cgroup=
pids=()

say() {
  if [ -t 1 ]; then printf '\n\033[1m%s\033[0m\n' "$*"; else printf '\n%s\n' "$*"; fi
}
fail() {
  printf 'demo: %s\n' "$*" >&2
  exit 1
}

# Everything in reverse. Also after an error or Ctrl-C, and without complaints of its own.
clean_up() {
  trap - EXIT INT TERM
  set +e
  local pid
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
  ip netns del "$client" 2>/dev/null
  ip netns del "$server" 2>/dev/null
  [ -n "$cgroup" ] && for _ in $(seq 100); do rmdir "$cgroup" 2>/dev/null && break || sleep 0.05; done
  rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# wait_for FILE PATTERN: until the program that writes the file has said so.
wait_for() {
  local _
  for _ in $(seq 200); do
    grep -q "$2" "$1" 2>/dev/null && return
    sleep 0.05
  done
  cat "$1" >&2
  fail "waited in vain for \"$2\""
}

# Until a socket receives on this port of 127.0.0.1 and nothing waits in its queue: see proc(5).
wait_for_idle_port() {
  wait_for /proc/net/udp "$(printf '0100007F:%04X 00000000:0000 07 00000000:00000000' "$1")"
}

# exec_in_host NAMESPACE COMM PROGRAM [ARGUMENT]...: becomes the program, under the name COMM.
exec_in_host() {
  local namespace=$1 comm=$2 program=$3
  shift 3
  ln -sf "$(readlink -f "$program")" "$work/bin/$comm"
  exec "$generators/run-in" --netns "/run/netns/$namespace" --cgroup "$cgroup" -- \
    "$work/bin/$comm" "$@" >>"$work/$comm.out" 2>>"$work/$comm.err"
}

in_host() {
  (exec_in_host "$@") || fail "$2 failed: $(cat "$work/$2.err")"
}

start_in_host() {
  exec_in_host "$@" &
  pids+=($!)
}

make_hosts() {
  local mount
  mount=$(awk '/ - cgroup2 / { print $5; exit }' /proc/self/mountinfo)
  [ -n "$mount" ] || fail 'cgroup v2 is not mounted'
  cgroup=$mount/$tag
  mkdir "$cgroup" "$work/bin" "$work/flows"
  ip netns add "$client"
  ip netns add "$server"
  ip link add veth0 netns "$client" type veth peer name veth0 netns "$server"
  local host number=1
  for host in "$client" "$server"; do
    ip netns exec "$host" sysctl -qw net.ipv6.conf.veth0.accept_dad=0
    ip -n "$host" link set lo up
    ip -n "$host" addr add "192.0.2.$number/24" dev veth0
    ip -n "$host" addr add "2001:db8::$number/64" dev veth0 nodad
    ip -n "$host" link set veth0 up
    number=$((number + 1))
  done
}

free_port() {
  node -e '
    const socket = require("node:dgram").createSocket("udp4");
    socket.bind(0, "127.0.0.1", () => { console.log(socket.address().port); socket.close(); });'
}

# The collectors are on this machine's loopback: nfcapd for both, and a capture for tshark.
start_collectors() {
  netflow_port=$(free_port)
  ipfix_port=$(free_port)
  nfcapd -b 127.0.0.1 -p "$netflow_port" -w "$work/flows" -t 3600 -S 0 >"$work/nfcapd.log" 2>&1 &
  nfcapd_pid=$!
  pids+=("$nfcapd_pid")
  mkdir "$work/ipfix"
  nfcapd -b 127.0.0.1 -p "$ipfix_port" -w "$work/ipfix" -t 3600 -S 0 >"$work/ipfix.log" 2>&1 &
  pids+=($!)
  tcpdump -i lo -n -U --immediate-mode -Z root -w "$work/ipfix.pcap" \
    "udp dst port $ipfix_port" >"$work/tcpdump.log" 2>&1 &
  pids+=($!)
  wait_for "$work/tcpdump.log" 'listening on'
  wait_for_idle_port "$netflow_port"
  wait_for_idle_port "$ipfix_port"
}

exporters=()
# start_exporter NAME NAMESPACE INTERFACE PORT VERSION DOMAIN
start_exporter() {
  ./bin/procflow export --netns "$2" -i "$3" -n "127.0.0.1:$4" -v "$5" \
    --observation-domain "$6" --cgroup "$cgroup" 2>"$work/$1.log" &
  exporters+=($!)
  pids+=($!)
  wait_for "$work/$1.log" 'procflow: metering'
}

# In good order: a procflow that is told to stop exports what it still has.
stop_exporters() {
  local pid
  for pid in "${exporters[@]}"; do kill -TERM "$pid"; done
  for pid in "${exporters[@]}"; do wait "$pid"; done
}

start_servers() {
  start_in_host "$server" web-server "$(command -v node)" -e '
    require("node:http")
      .createServer((request, response) => response.end("x".repeat(100000)))
      .listen(8080, "::", () => console.log("ready"));'
  start_in_host "$server" dns-server "$generators/udp-server" --port 53 --count 1000 --echo
  start_in_host "$server" backup-server "$generators/tcp-server" --port 8730 --count 1000 --fork
  wait_for "$work/web-server.out" ready
  wait_for "$work/dns-server.out" ready
  wait_for "$work/backup-server.out" ready
}

run_clients() {
  local address
  for address in 192.0.2.2 2001:db8::2; do
    in_host "$client" resolver "$generators/udp-client" --to $address --port 53 --read-echo
    in_host "$client" backup "$generators/tcp-client" --to $address --port 8730 --octets 5000000
  done
  in_host "$client" browser "$(command -v curl)" -s -o /dev/null http://192.0.2.2:8080/
  in_host "$client" package-sync "$(command -v curl)" -s -o /dev/null 'http://[2001:db8::2]:8080/'
  for address in 127.0.0.1 ::1; do # on the server itself
    in_host "$server" health-check "$generators/tcp-client" --to $address --port 8730 --octets 64
    in_host "$server" local-resolver "$generators/udp-client" --to $address --port 53 --read-echo
  done
}

# One line a flow out of tshark's own words for the fields.
print_ipfix() {
  tshark -r "$work/ipfix.pcap" -d "udp.port==$ipfix_port,cflow" -V 2>/dev/null | awk '
    function print_row() {
      if (row["SrcAddr"] != "")
        printf "%-10s %5s -> %-10s %5s  %4s %6s  %-14s %6s -> %-14s %6s\n", row["SrcAddr"],
          row["SrcPort"], row["DstAddr"], row["DstPort"], row["Protocol"], row["Packets"],
          row["Src process name"], row["Src process PID"], row["Dst process name"],
          row["Dst process PID"]
      delete row
    }
    BEGIN {
      printf "%-10s %5s    %-10s %5s  %4s %6s  %-14s %6s    %-14s %6s\n", "source", "port",
        "dest.", "port", "prot", "pkts", "process", "pid", "process", "pid"
    }
    /^ *(Flow [0-9]+|Frame [0-9]+: .*)$/ { print_row() }
    match($0, /^ *(\[[^\]]*\] )?[A-Za-z ]+: /) {
      field = substr($0, RSTART, RLENGTH - 2)
      value = substr($0, RSTART + RLENGTH)
      sub(/^ */, "", field)
      sub(/ \([0-9]+\)$/, "", value)
      row[field] = value
    }
    END { print_row() }'
}

[ "$(id -u)" = 0 ] || fail 'needs root: it makes network namespaces and loads BPF programs'
make_hosts
start_collectors
say 'Two hosts with a cable between them; procflow on each end, and on the loopback of the second'
start_exporter client-netflow "$client" veth0 "$netflow_port" 9 1
start_exporter server-netflow "$server" veth0 "$netflow_port" 9 2
start_exporter server-ipfix "$server" lo "$ipfix_port" 10 3
cat "$work"/*-{netflow,ipfix}.log

start_servers
run_clients
stop_exporters
wait_for_idle_port "$netflow_port"
kill "$nfcapd_pid"
wait "$nfcapd_pid" || true

say 'NetFlow v9, as nfdump prints it: nfdump -o "fmt:%line %uname"'
echo 'Each flow is there twice: as its sender exported it and as its receiver did.'
nfdump -R "$work/flows" -O tstart -o 'fmt:%line %uname' 'not proto icmp6'
say 'IPFIX of the loopback interface, as tshark decodes it: both processes on one record'
print_ipfix
say 'What procflow says of it'
grep -h -A2 'flow records' "$work"/*-{netflow,ipfix}.log
