#!/bin/bash
# The first program of a guest of `make kernels`: mounts what a machine has, and runs a script of the checkout.
# Arguments: the unpacked kernel package, the checkout, node, the script.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb
image=$1 checkout=$2 node=$3 script=$4
release=$(uname -r)

mount -t proc proc /proc
# What the kernel says would break the lines of the findings.
dmesg -n 1
mount -t sysfs sysfs /sys
mount -t securityfs securityfs /sys/kernel/security
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/files /dev/shm
# Not the host's /tmp: the checkout can be below it.
mount -t tmpfs tmpfs /dev/shm
export TMPDIR=/run/files
chmod 1777 "$TMPDIR"
ln -sfn /proc/self/fd /dev/fd
mkdir -p /lib/modules
ln -sfn "$image/lib/modules/$release" "/lib/modules/$release"
modprobe -a veth sch_ingress cls_bpf
ip link set lo up

cd "$checkout" && "$node" "$script"
echo "the guest's script ended with $?"
echo o >/proc/sysrq-trigger
sleep 60
