"""Run as ``python -I -S .../cowork/holder/__main__.py zygote FD [DESCRIPTORS]`` or ``... hold FD``; never by hand.

``FD`` is an inherited socket: for ``zygote`` the daemon's (zygote.py), for ``hold`` the channel on which BEGIN comes.
``scoped-`` in front of either: in a systemd scope of its own, whose cgroup may be divided.
"""

import os
import sys

if __name__ == "__main__":
    # -I leaves the script's folder out of the path, so that nothing beside it can be imported by accident.
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
    from cowork.holder.zygote import main

    main(sys.argv[1:])
