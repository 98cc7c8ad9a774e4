"""The programs that conformance tests run in sessions: Python and shell text that needs nothing else."""

from __future__ import annotations

ENVIRONMENT = "import sys; sys.stdout.buffer.write(open('/proc/self/environ', 'rb').read())"
FOLDER = "import os; print(os.environ.get('PWD'), os.getcwd(), sep='\\0', end='')"
ARGUMENTS = "import sys; sys.stdout.buffer.write(open('/proc/self/cmdline', 'rb').read())"
LINE = b"%07d \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \0\r\n"
PRINTS = r"""
import os, sys
count, piece = int(sys.argv[1]), 65537
text = b"".join(b"%07d \xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80 \0\r\n" % n for n in range(count // 20))[:count]
for at in range(0, count, piece):
    assert os.write(1, text[at:at + piece]) == len(text[at:at + piece])
"""
ALTERNATES = "import os\nfor n in range(4000): os.write(1 + n % 2, b'%d\\n' % n)"
TRAPS = """
import os, signal, sys
def trapped(number, frame):
    os.write(1, b"trapped\\n")
    os._exit(7)
signal.signal(int(sys.argv[1]), trapped)
os.write(1, b"ready\\n")
while True:
    signal.pause()
"""
LEAVES_OTHERS = """
import os, signal
ready, done = os.pipe()
def stay():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(done, b".")
    while True:
        signal.pause()
if os.fork() == 0:
    stay()
if os.fork() == 0:
    os.setsid()
    stay()
between = os.fork()
if between == 0:
    os.setsid()
    if os.fork() == 0:
        os.chdir("/")
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        stay()
    os._exit(0)
os.waitpid(between, 0)
for _ in range(3):
    os.read(ready, 1)
os.write(1, b"ready\\n")
os.read(0, 1)
os._exit(3)
"""
"""Has a child, one in a session of its own, and a daemon; all of them deaf to what is polite."""
TERMINAL = """
import os
size = os.get_terminal_size(0)
os.close(os.open("/dev/tty", os.O_RDWR))
print([os.isatty(n) for n in (0, 1, 2)], size.lines, size.columns, flush=True)
"""
STARTER = """
import sys, time
from cowork.holder import messages
from cowork.sessions.starter import plain_channel
channel = plain_channel()
channel.sendall(messages.pack(messages.BEGIN, sys.stdin.buffer.read()))
channel.recv(1)
print("started", flush=True)
time.sleep(3600)
"""
WAITS = "echo ready; exec sleep 3600"
