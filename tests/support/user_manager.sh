#!/bin/sh
# Runs a command beside a real systemd user manager, in a mount namespace of its own:
#   unshare --mount sh user_manager.sh GROUP COMMAND...
# GROUP is a fresh cgroup v2 name. Needs root; leaves nothing but the (empty) cgroups, which the caller removes.
set -eu
group=$1
shift
mount --make-rprivate /
mount -t tmpfs none /run
mkdir -p /run/systemd/system "/run/user/$(id -u)"
chmod 700 "/run/user/$(id -u)"
export XDG_RUNTIME_DIR="/run/user/$(id -u)"
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mkdir "/sys/fs/cgroup/$group"
echo $$ >"/sys/fs/cgroup/$group/cgroup.procs"
/lib/systemd/systemd --user --log-target=console 2>"$HOME/systemd.log" &
manager=$!
tries=0
until [ -S "$XDG_RUNTIME_DIR/systemd/private" ] && systemctl --user show-environment >/dev/null 2>&1; do
    tries=$((tries + 1))
    [ "$tries" -lt 500 ] || { cat "$HOME/systemd.log" >&2; exit 99; }
    sleep 0.02
done
status=0
"$@" || status=$?
kill "$manager"
wait "$manager" 2>/dev/null || true
exit "$status"
