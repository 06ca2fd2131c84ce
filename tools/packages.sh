#!/bin/sh
# Installs the Debian packages that Sampan, its tests and its demo need; nothing where all are there.
set -eu
run="python3 python3-venv libseccomp2 git"
tools="curl ca-certificates openssl openssh-client procps kmod xz-utils iproute2 nftables iptables tcpdump e2fsprogs xfsprogs"
images="busybox-static debootstrap btrfs-progs fuse-overlayfs erofs-utils qemu-system-x86 rpm db5.3-util"
peers="docker-cli|docker.io docker-compose docker-registry skopeo runc crun etcd-server"
bench="iperf3 wrk nginx"
missing=""
for package in $run $tools $images $peers $bench; do
    found=""
    for choice in $(echo "$package" | tr '|' ' '); do
        if dpkg-query -W -f '${Status}' "$choice" 2>/dev/null | grep -q 'install ok installed'; then found=1; fi
        if [ "$choice" = docker-cli ] && command -v docker >/dev/null 2>&1; then found=1; fi
    done
    [ -n "$found" ] || missing="$missing ${package##*|}"
done
[ -n "$missing" ] || exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# --no-install-recommends and policy-rc.d: packages are tools here, none of their services is to start.
policy=/usr/sbin/policy-rc.d
made=""
if [ ! -e "$policy" ]; then printf '#!/bin/sh\nexit 101\n' > "$policy"; chmod +x "$policy"; made=1; fi
trap '[ -z "$made" ] || rm -f "$policy"' EXIT
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $missing >/dev/null
