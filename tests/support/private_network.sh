#!/bin/sh
# Runs a command of an ordinary user in a network of its own, with names and a server that no other machine has:
#   unshare --net --mount sh private_network.sh UID GID FOLDER PYTHON COMMAND...
# FOLDER holds `hosts` (for /etc/hosts), `addresses` (one a line, given to lo) and what web_server.py serves.
# Needs root; everything ends with the command.
set -eu
uid=$1 gid=$2 folder=$3 python=$4
shift 4
mount --make-rprivate /
mount --bind "$folder/hosts" /etc/hosts
ip link set lo up
while read -r address; do ip address add "$address" dev lo; done <"$folder/addresses"
mkfifo "$folder/up"
"$python" -I "$(dirname "$0")/web_server.py" "$folder" &
read -r _ <"$folder/up"
exec setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
