#!/bin/sh
# First process of the machine: mounts, loads modules, runs the tests, says how they ended.
# The last line on the console is what `vm/qemu.rs` reads; without it the run has failed.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
mount -t devtmpfs dev /dev
exec </dev/null >/dev/ttyS0 2>&1
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmp /tmp
mount -t tmpfs run /run
mkdir -p /sys/fs/cgroup
mount -t cgroup2 cgroup /sys/fs/cgroup
ln -s /proc/self/fd /dev/fd
ln -s /proc/self/fd/0 /dev/stdin
ln -s /proc/self/fd/1 /dev/stdout
ln -s /proc/self/fd/2 /dev/stderr
# Loads a module, by its file.
load() {
	insmod "$1" || echo "failed to load $1"
}

# Runs a test that wants the kernel without a module, if it was chosen.
code=0
without() {
	grep -qx "$2" /tests || return 0
	if [ -e "$1" ]; then
		"$(cat /test-binary)" --ignored --exact "$2" || code=$?
	else
		echo "$2 is not run: $1 is built into this kernel"
	fi
}

bridge=$(echo /modules/bridge.ko*)
veth=$(echo /modules/veth.ko*)
for module in $(cat /modules/order); do
	case $module in
	bridge.* | br_netfilter.* | veth.*) ;;
	*) load "/modules/$module" ;;
	esac
done
hostname vm
ip link set lo up
without "$bridge" privileges::a_kernel_without_bridge_is_named
for module in "$bridge" /modules/br_netfilter.ko*; do
	if [ -e "$module" ]; then load "$module"; fi
done
without "$veth" privileges::a_kernel_without_veth_is_named
if [ -e "$veth" ]; then load "$veth"; fi
# Emulation is slow.
export BRIDGE_USER_TEST_FRAMES=12000 BRIDGE_USER_TEST_STRIDE=3
echo "vm-test: the differential oracle (oracle::) sends $BRIDGE_USER_TEST_FRAMES frames here"
echo "vm-test: commands (crash::) are killed at every step number $BRIDGE_USER_TEST_STRIDE here"
# Names of tests have no spaces.
# shellcheck disable=SC2046
"$(cat /test-binary)" --exact $(cat /tests) || code=$?
printf '\nvm-test: the tests ended with %s\n' "$code"
# The console's last bytes go out before the machine does.
sleep 1
echo 1 >/proc/sys/kernel/sysrq
echo o >/proc/sysrq-trigger
sleep 60
