"""The holder itself: one epoll loop around one child.

Order of the end, always: the leader has ended; what is readable is spooled; what is left of its group and tree is
ended; the exit record is on the disk; then EXIT is said, last.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time

from cowork.holder import cgroup, child, files, ladder, sandbox, tree
from cowork.holder import messages as m
from cowork.holder.control import Client, Clients
from cowork.holder.output import Output
from cowork.holder.page import Page
from cowork.holder.spec import StartSpec
from cowork.holder.spool import SpoolWriter
from cowork.holder.stdin import StdinQueue

FAREWELL = 2.0
"""Seconds that clients get to read the last messages."""
_STUBBORN = 0.2
"""Seconds from one step of the clean-up to the next."""
_HOPELESS = 25
"""Steps after which a process that SIGKILL does not end (it waits for a dead disk) is left to the kernel."""


_NO_WAKING = (0, signal.SIGCONT, signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)
"""Signals after which a stopped process is left as it is."""


class Holder:
    """Holds one session from the child's start to its exit record."""

    def __init__(self, spec: StartSpec, channel: socket.socket) -> None:
        self.spec = spec
        self.log = files.LifecycleLog(os.path.join(spec.folder, "lifecycle.log"))
        self.epoll = select.epoll()
        self.clients = Clients(self.epoll)
        self.starter = self.clients.add(channel)
        self.starter.watching = True
        self.exit_record: dict[str, object] | None = None
        self._cgroup: str | None = None
        self._status: os.waitid_result | None = None
        self._cleanup_at: float | None = None
        self._cleanup_signals = [signal.SIGTERM, signal.SIGKILL]
        self._cleanup_rounds = 0
        self._recorded = False
        self._stdin_armed = False
        self._ladder = ladder.Ladder(self._send_step)
        self._sandbox: sandbox.Running | None = None

    def run(self) -> None:
        """Start the child and stay until it has ended and everybody has been told."""
        self.page = Page(os.path.join(self.spec.folder, "readers"), writable=False)
        if self.spec.cgroup is not None:
            self._cgroup = cgroup.make(self.spec.cgroup, "cowork-" + os.path.basename(self.spec.folder))
        for unset in cgroup.limit(self._cgroup, self.spec.memory, self.spec.tasks):
            self.log(f"limit not set: {unset}")
        self._wake = self._listen_for_signals()
        try:
            self.clients.listen(self.spec.socket)
            # Before the child, which must never run without one.
            spool = SpoolWriter(
                os.path.join(self.spec.folder, "spool"),
                history=self.spec.history, limit=self.spec.limit, hold=self.spec.hold,
            )  # fmt: skip
            self._start()
        except child.StartError as e:
            self._fail(e)
            return
        except OSError as e:
            what = "spool" if e.filename else "socket"
            self._fail(child.StartError(what, e.errno or 0, f"{e.filename or self.spec.socket}: {e.strerror}"))
            return
        self.output = Output(self.epoll, spool, self.child.stdout, self.child.stderr)
        self.stdin = StdinQueue(self.child.stdin)
        self.epoll.register(self.child.pidfd, select.EPOLLIN)
        self.clients.send(self.starter, m.pack(m.STATUS, self.status()))
        try:
            while self.exit_record is None:
                self._turn()
        except Exception as e:
            self._break_down(e)
        self._say_goodbye()

    def _start(self) -> None:
        if self.spec.sandbox is None:
            self.child = child.start(self.spec, self._cgroup)
        else:
            # What must be removed should this process be killed.
            files.write_json(os.path.join(self.spec.folder, "covers.json"), self.spec.sandbox.covers, sync=False)
            self.child, self._sandbox = sandbox.start(self.spec, self._cgroup)

    def _record_child(self) -> None:
        """Who must be ended if this process is killed: the child's pid, and its start time against reuse.

        Also the moment to sync session.json, which nobody waits for any more.
        """
        self._recorded = True
        me = os.getpid()
        self.log(f"started pid={self.child.pid} holder={me} program={self.spec.executable}")
        record = {
            "pid": self.child.pid, "start": tree.start_time(self.child.pid),
            "holder": me, "holder_start": tree.start_time(me), "cgroup": self._cgroup,
        }  # fmt: skip
        try:
            files.write_json(os.path.join(self.spec.folder, "child.json"), record, sync=False)
            files.sync(os.path.join(self.spec.folder, "session.json"))
        except OSError as e:
            self.log(f"cannot write {e.filename or 'child.json'}: {e.strerror}")

    def dismiss(self) -> None:
        """Let go of a channel on which nothing was started."""
        self.clients.drop(self.starter)
        self.epoll.close()

    def status(self) -> bytes:
        """Body of STATUS: JSON with pids, the spool's bounds, what stdin and the output are doing."""
        running = self.exit_record is None
        return json.dumps({
            "version": m.VERSION, "pid": self.child.pid, "holder": os.getpid(), "running": running and not self._status,
            "head": self.output.spool.head, "base": self.output.spool.base, "output": self.output.state,
            "stdin": {"open": self.stdin.open, "queued": self.stdin.queued, "limit": self.stdin.limit},
            "exit": self.exit_record, "cgroup": self._cgroup,
        }).encode()  # fmt: skip

    # -- one turn of the loop

    def _turn(self) -> None:
        # The first quiet moment is soon enough for what only a crash will ask for.
        events = self.epoll.poll(self._timeout() if self._recorded else 0)
        if not events and not self._recorded:
            self._record_child()
        now = time.monotonic()
        grew = False
        for fd, event in events:
            if self.output.owns(fd):
                grew |= self.output.read(fd, now)
            elif fd == self.stdin.fd:
                self._flush_stdin()
            elif fd == self.child.pidfd:
                self._leader_ended(now)
            elif fd == self._wake:
                self._signalled(now)
            elif self.clients.is_listener(fd):
                self.clients.accept()
            else:
                self._serve(fd, event)
        grew |= self.output.wake(now)
        if grew:
            self._published()
            if not self._recorded:
                self._record_child()  # a child that never stops printing would leave no quiet moment
        self._ladder.run(now)
        if self._status is not None:
            self._clean_up(now)

    def _timeout(self) -> float | None:
        due = [t for t in (self.output.deadline, self._ladder.deadline, self._cleanup_at) if t is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _published(self) -> None:
        """The spool has grown: tell the readers, recycle, hold the child back when nobody takes it."""
        self.clients.broadcast(m.pack(m.NOTE, m.U64.pack(self.output.spool.head)), note=True)
        self._look_at_page()

    def _look_at_page(self) -> None:
        floor = self.page.floor()
        spool = self.output.spool
        spool.recycle(floor)
        if self.output.hold_back(spool.full(floor)):
            self.log(f"output {self.output.state} head={spool.head} taken={floor}")

    # -- clients

    def _serve(self, fd: int, event: int) -> None:
        client = self.clients.get(fd)
        if client is None:
            return
        if event & select.EPOLLOUT:
            self.clients.flush(client)
        if event & ~select.EPOLLOUT:
            messages = self.clients.receive(client)
            if messages and not self._recorded:
                self._record_child()
            for kind, body in messages:
                self._handle(client, kind, body)

    def _handle(self, client: Client, kind: int, body: bytes) -> None:
        if kind == m.WRITE:
            self._write(client, body)
        elif kind == m.TAKEN:
            self._look_at_page()
        elif kind == m.SIGNAL:
            self._signal(client, body)
        elif kind == m.CLOSE:
            self._close_stdin()
            self.clients.send(client, m.pack(m.ACCEPTED, body[:8]))
        elif kind == m.RESIZE and self.spec.terminal and not self.output.ended and len(body) == m.SIZE.size:
            child.resize(self.child.stdout, *m.SIZE.unpack(body))
        elif kind == m.MOUNT:
            self._mount(client, body)
        elif kind in (m.QUERY, m.WATCH):
            client.watching |= kind == m.WATCH
            self.clients.send(client, m.pack(m.STATUS, self.status()))

    def _write(self, client: Client, body: bytes) -> None:
        token, data = body[:8], memoryview(body)[8:]
        if self._status is not None:
            answer = m.pack(m.REFUSED, token + b"ended")
        elif not self.stdin.open:
            answer = m.pack(m.REFUSED, token + b"closed")
        elif not self.stdin.offer(data):
            answer = m.pack(m.REFUSED, token + b"full")
        else:
            self._flush_stdin()
            self.output.prompt()
            # The pipe may have turned out to be closed: then the write was not taken, and is not said to be.
            answer = m.pack(m.ACCEPTED, token) if self.stdin.fd >= 0 else m.pack(m.REFUSED, token + b"closed")
        self.clients.send(client, answer)

    def _close_stdin(self) -> None:
        if self.spec.terminal:
            self.stdin.offer(b"\x04")  # a terminal has no end of file but the one that is typed
            self._flush_stdin()
        elif self.stdin.open:
            self.stdin.finish()

    def _flush_stdin(self) -> None:
        before, fd = self.stdin.queued, self.stdin.fd
        self.stdin.flush()
        if self.stdin.fd < 0:
            self._stdin_armed = False  # a closed descriptor has left the epoll set by itself
            self.log(f"stdin closed, {before} bytes were waiting")
        elif self.stdin.queued and not self._stdin_armed:
            self.epoll.register(fd, select.EPOLLOUT)
            self._stdin_armed = True
        elif not self.stdin.queued and self._stdin_armed:
            self.epoll.unregister(fd)
            self._stdin_armed = False

    def _signal(self, client: Client, body: bytes) -> None:
        try:
            request = json.loads(body)
            steps = ladder.parse(request["steps"])
            token = int(request["token"])
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
            self.log(f"signal request refused: {e}")
            return
        sent = self._ladder.request(steps, time.monotonic()) if self._status is None else False
        self.clients.send(client, m.pack(m.SIGNALLED, json.dumps({"token": token, "sent": sent}).encode()))

    def _mount(self, client: Client, body: bytes) -> None:
        try:
            asked = json.loads(body)
            token = int(asked["token"])
            error = "it has no sandbox" if self._sandbox is None else self._sandbox.mount(asked, self.spec.folder)
        except (ValueError, KeyError, TypeError, RecursionError) as e:
            self.log(f"mount request refused: {e}")
            return
        self.log(f"mount {asked['host']}: {error or 'done'}")
        self.clients.send(client, m.pack(m.MOUNTED, json.dumps({"token": token, "error": error}).encode()))

    def _listen_for_signals(self) -> int:
        """SIGCHLD (a descendant has ended), SIGTERM (the machine shuts down), SIGUSR1 (the socket is missing)."""
        wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGUSR1):
            signal.signal(number, lambda *_: None)
        self.epoll.register(wake_r, select.EPOLLIN)
        return wake_r

    def _signalled(self, now: float) -> None:
        numbers = os.read(self._wake, 4096)
        if signal.SIGTERM in numbers and self._status is None:
            self.log("asked to end")
            term = ladder.Step(0.0, signal.SIGTERM, "group")
            self._ladder.request([term, ladder.Step(5.0, signal.SIGKILL, "tree")], now)
        if signal.SIGUSR1 in numbers:
            self._listen_again()
        self._reap_others()

    def _listen_again(self) -> None:
        try:
            self.clients.listen_again()
        except OSError as e:
            self.log(f"cannot listen again on {self.spec.socket}: {e.strerror}")
        else:
            self.log("listening again")

    def _send_step(self, step: ladder.Step) -> bool:
        self.log(f"signal {step.signal} to {step.to}")
        sent = self._send(step.to, step.signal)
        if step.signal not in _NO_WAKING and step.to != "leader":
            self._send(step.to, signal.SIGCONT)  # a stopped process cannot end by TERM
        return sent

    def _send(self, to: str, number: int) -> bool:
        if self._sandbox is not None and not (to == "tree" and number == signal.SIGKILL):
            return self._sandbox.inside.send(to, number)
        return tree.send(to, self.child.pid, number, self._cgroup if number == signal.SIGKILL else None)

    @property
    def _companion(self) -> int:
        """Pid of the sandbox's proxy, 0 without one."""
        return self._sandbox.proxy.pid if self._sandbox is not None and self._sandbox.proxy is not None else 0

    def _reap_others(self) -> None:
        proxy = self._sandbox.proxy if self._sandbox is not None else None
        for pid in tree.reap_others(self.child.pid):
            if proxy is not None and proxy.ended(pid, again=self._status is None):
                self.log(f"the proxy (pid {pid}) died" + (f"; now pid {proxy.pid}" if proxy.pid else " too often"))

    # -- the end

    def _leader_ended(self, now: float) -> None:
        # WNOWAIT: while the leader is a zombie, its pid and process group cannot become somebody else's.
        self._status = os.waitid(os.P_PIDFD, self.child.pidfd, os.WEXITED | os.WNOWAIT)
        self.epoll.unregister(self.child.pidfd)
        self._ladder.cancel()
        if self._stdin_armed:
            self.epoll.unregister(self.stdin.fd)
            self._stdin_armed = False
        self.stdin.close()
        if self._sandbox is not None:
            self._sandbox.end()
        self._cleanup_at = now + self.spec.grace

    def _clean_up(self, now: float) -> None:
        before = self.output.spool.head
        drained = self.output.drain(now)
        if self.output.spool.head > before:
            self._published()
        self._reap_others()
        if tree.alone(self.child.pid, self._companion):
            # Nobody is left who could print; what is in the pipes was just taken.
            if drained and self.output.drain(now):
                self._finish()
            else:
                self._cleanup_at = self.output.deadline
            return
        assert self._cleanup_at is not None
        if now >= self._cleanup_at:
            if self._cleanup_signals:
                number = self._cleanup_signals.pop(0)
                self.log(f"left over: {tree.descendants(os.getpid())[1:]} get signal {int(number)}")
                tree.send("tree", self.child.pid, number, self._cgroup)
            elif self._cleanup_rounds >= _HOPELESS:
                self.log("something cannot be killed; not waiting for it")
                self._finish()
                return
            self._cleanup_rounds += 1
            self._cleanup_at = now + _STUBBORN
        elif self._cleanup_at - now > 0.01 and self.output.ended and len(self._cleanup_signals) == 2:
            # Nothing more can be printed, so there is nothing to be patient for.
            self._cleanup_at = now + 0.01

    def _break_down(self, error: Exception) -> None:
        """Something that must not happen: end what is held rather than leave it behind unseen, and say so."""
        self.log(f"the holder breaks down: {type(error).__name__}: {error}")
        tree.send("tree", self.child.pid, signal.SIGKILL, self._cgroup)
        # It may have been reaped before whatever went wrong.
        status = self._status or os.waitid(os.P_PIDFD, self.child.pidfd, os.WEXITED | os.WNOWAIT)
        assert status is not None
        self._status = status
        self._close_sandbox()
        try:
            self.output.drain(time.monotonic())
        except OSError:
            pass  # the likely reason for all this
        self.exit_record = {**exit_record(*outcome(status), head=self.output.spool.head, oom_kills=None), "lost": True}
        try:
            files.write_json(os.path.join(self.spec.folder, "exit.json"), self.exit_record)
        except OSError as e:
            self.log(f"cannot write exit.json: {e.strerror}")

    def _finish(self) -> None:
        assert self._status is not None
        oom = cgroup.oom_kills(self._cgroup) if self._cgroup else None
        outcome = self._outcome(self._status)
        record = exit_record(*outcome, head=self.output.spool.head, oom_kills=oom)
        os.waitpid(self.child.pid, 0)
        self.output.close()
        self._close_sandbox()
        path = os.path.join(self.spec.folder, "exit.json")
        while True:
            try:
                files.write_json(path, record)
                break
            except OSError as e:
                self.log(f"cannot write exit.json: {e.strerror}; trying again")
                time.sleep(1.0)
        if self._cgroup:
            cgroup.remove(self._cgroup)
        self.exit_record = record
        self.log(f"ended {json.dumps(record)}")

    def _close_sandbox(self) -> None:
        running, self._sandbox = self._sandbox, None
        try:
            if running is not None:
                running.close()
        except OSError as e:
            self.log(f"the sandbox is not tidied up: {e}")

    def _outcome(self, status: os.waitid_result) -> tuple[int, int]:
        return outcome(status) if self._sandbox is None else self._sandbox.inside.outcome(status)

    def _say_goodbye(self) -> None:
        self.clients.stop_listening()
        self.clients.broadcast(m.pack(m.NOTE, m.U64.pack(self.output.spool.head)))
        self.clients.broadcast(m.pack(m.EXIT, json.dumps(self.exit_record).encode()))
        self._linger()

    def _fail(self, error: child.StartError) -> None:
        self.log(f"not started: {error.text}")
        self.clients.stop_listening()
        if self._cgroup:
            cgroup.remove(self._cgroup)
        self.clients.send(self.starter, m.pack(m.FAILED, error.as_json()))
        self._linger()

    def _linger(self) -> None:
        """Let slow clients read the last messages; a dead one does not keep us."""
        end = time.monotonic() + FAREWELL
        while self.clients.unsent and (left := end - time.monotonic()) > 0:
            for fd, event in self.epoll.poll(left):
                client = self.clients.get(fd)
                if client is not None and event & select.EPOLLOUT:
                    self.clients.flush(client)
                elif client is not None:
                    self.clients.receive(client)


def outcome(status: os.waitid_result) -> tuple[int, int]:
    """How a child ended: (exit code, 0) or (-1, signal)."""
    return (status.si_status, 0) if status.si_code == os.CLD_EXITED else (-1, status.si_status)


def exit_record(code: int, number: int, *, head: int, oom_kills: int | None) -> dict[str, object]:
    """What exit.json says. ``exitCode`` is -1 for a process that signal ``number`` ended, and ``signal`` names it."""
    record: dict[str, object] = {"version": 1, "ended": time.time(), "head": head, "exitCode": code}
    if number:
        record["signal"] = signal_name(number)
    if oom_kills is not None:
        record["oomKillCount"] = oom_kills
    return record


def signal_name(number: int) -> str:
    """ "SIGTERM" for 15; "SIG40" for a number without a name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
