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
for module in $(cat /modules/order); do
	insmod "/modules/$module" || echo "failed to load $module"
done
hostname vm
ip link set lo up
# Names of tests have no spaces.
# shellcheck disable=SC2046
"$(cat /test-binary)" --exact $(cat /tests)
code=$?
printf '\nvm-test: the tests ended with %s\n' "$code"
# The console's last bytes go out before the machine does.
sleep 1
echo 1 >/proc/sys/kernel/sysrq
echo o >/proc/sysrq-trigger
sleep 60
