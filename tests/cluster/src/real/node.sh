# Process 1 of a node. What it mounts is seen by this node alone, and is gone when this process ends: then the kernel
# ends every other process of the node, too. $1 is the node's directory, $2 the address of the cluster's DNS.
set -eu
trap 'exit 0' TERM

mount --make-rshared /
mount -t tmpfs -o mode=0755 node /run
# Some programs write to places that cannot be configured. They see what is there, and what they write goes nowhere.
for place in var/lib var/log etc; do
    mkdir -p "/run/over/$place/upper" "/run/over/$place/work"
    mount -t overlay -o "lowerdir=/$place,upperdir=/run/over/$place/upper,workdir=/run/over/$place/work" node "/$place"
done
# The machine's name server cannot be reached from here: a pull would wait for it, and say only then that it failed.
rm -f /etc/resolv.conf
echo "nameserver $2" >/etc/resolv.conf

# A kubelet sets these for the whole machine. It leaves them alone when they seem to be set.
hold() {
    if [ -e "/proc/sys/$1" ]; then
        mkdir -p "/run/hold/${1%/*}"
        echo "$2" >"/run/hold/$1"
        mount --bind "/run/hold/$1" "/proc/sys/$1"
    fi
}
hold vm/overcommit_memory 1
hold vm/panic_on_oom 0
hold kernel/panic 10
hold kernel/panic_on_oops 1
hold kernel/keys/root_maxkeys 1000000
hold kernel/keys/root_maxbytes 25000000

touch "$1/open"
# Waiting also buries the processes that other ones left to process 1.
sleep infinity &
wait
