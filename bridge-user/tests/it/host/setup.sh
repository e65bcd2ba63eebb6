# Makes a host out of fresh network, mount, UTS and process namespaces. Arguments: the binary.
# Ends when its standard input does, and everything on the host with it.
set -eu
mount -t tmpfs tmpfs /run
mkdir /run/bin /run/netns /run/etc /run/etc-work
touch /run/bin/bridge-user
mount --bind "$1" /run/bin/bridge-user
# An own /etc/netns, whether the machine has one or not.
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc-work /etc
mkdir -p /etc/netns
mount -t tmpfs tmpfs /etc/netns
# This network namespace's /sys, and in it the cgroups of all, and an own bpffs.
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
hostname host
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward
echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
echo ready
exec cat >/dev/null
