#!/bin/sh
# A node of a cluster: process 1 of a throw-away container, until whoever holds its standard input is gone.
set -eu

# The kubelet insists on settings of the kernel, which belong to the machine below: it finds them as it wants them.
pretend() {
    echo "$2" >"/run/pretended-$(basename "$1")"
    mount --bind "/run/pretended-$(basename "$1")" "$1"
}
mount -o remount,bind,rw /proc/sys 2>/dev/null || true
for folder in kernel vm fs; do
    mount --bind "/proc/sys/$folder" "/proc/sys/$folder"
    mount -o remount,bind,ro "/proc/sys/$folder"
done
pretend /proc/sys/vm/overcommit_memory 1
pretend /proc/sys/kernel/panic 10
pretend /proc/sys/kernel/panic_on_oops 1
mknod /dev/kmsg c 1 11 2>/dev/null || true
mount --make-rshared /

# Control groups of the pods lie below this container's own, and go with it.
groups=/sys/fs/cgroup
if [ -e $groups/cgroup.controllers ]; then
    # Version 2: a group has processes or children with limits, never both.
    mount -o remount,bind,rw $groups
    mkdir $groups/node
    echo $$ >$groups/node/cgroup.procs
    sed 's/ / +/g; s/^/+/' $groups/cgroup.controllers >$groups/cgroup.subtree_control
else
    for group in "$groups"/*; do
        mount -o remount,bind,rw "$group"
    done
fi

# The end of one part is the end of the node.
trap 'exit 1' TERM
part() {
    name=$1
    shift
    "$@" >"/node/logs/$name.log" 2>&1 || true
    kill -TERM 1
}

# The control plane lives in the network of this container, so its address and the keys come later.
part_with_keys() {
    until [ -e /node/keys/complete ]; do sleep 0.1; done
    part "$@"
}

part containerd containerd --config /node/containerd.toml &
part_with_keys kubelet kube kubelet --config=/node/kubelet.yaml --kubeconfig=/node/keys/kubelet.kubeconfig --hostname-override=node &
part_with_keys kube-proxy kube kube-proxy --config=/node/kube-proxy.yaml &

# Nothing is ever written to it: this returns when it is closed.
exec 3<&0
cat <&3 >/dev/null &
wait $!
