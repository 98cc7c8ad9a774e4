"""Runs a program as a user who may make no user namespaces; run by root: ``without_userns.py UID GID COMMAND``.

The limit is one of a user namespace made for it, in which all ids are what they are outside; the machine's is not
touched.
"""

import ctypes
import os
import sys

CLONE_NEWUSER = 0x10000000


def main(uid: int, gid: int, command: list[str]) -> None:
    """Replace this process."""
    me = os.getpid()
    ready_r, ready_w = os.pipe()
    done_r, done_w = os.pipe()
    if os.fork() == 0:
        os.read(ready_r, 1)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{me}/{name}", "w", encoding="ascii") as f:
                f.write("0 0 4294967295")
        os.write(done_w, b"x")
        os._exit(0)
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    os.write(ready_w, b"x")
    os.read(done_r, 1)
    os.wait()
    with open("/proc/sys/user/max_user_namespaces", "w", encoding="ascii") as f:
        f.write("0")
    os.setgroups([gid])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    os.execvp(command[0], command)


main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
