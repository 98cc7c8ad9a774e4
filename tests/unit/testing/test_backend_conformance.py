"""The conformance suite itself: a backend that does something wrong fails the test that is about it."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

import cowork
from cowork.backends.base import Availability, Prepared, SpawnRequest
from cowork.backends.host import HostBackend
from cowork.errors import RpcError
from cowork.testing import backend_conformance as suite
from cowork.testing import running
from cowork.testing.backend_conformance import BackendConformance
from cowork.testing.folders import guest, seen
from cowork.translate.sessionmap import MappedMount, SessionMap

TESTS = [name for name in vars(BackendConformance) if name.startswith("test_")]


class Right(HostBackend):
    """The host backend, with what is changed in a request before and in what was prepared after."""

    def __init__(self) -> None:
        super().__init__({})

    def before(self, request: SpawnRequest) -> SpawnRequest:
        """What the host backend is asked for."""
        return request

    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        """What is answered."""
        return made

    def prepare(self, request: SpawnRequest) -> Prepared:
        return self.after(request, super().prepare(self.before(request)))


def wrapped(made: Prepared, script: str) -> Prepared:
    """The program run by a shell script, as ``"$@"``."""
    return msgspec.structs.replace(
        made, argv=["/bin/sh", "-c", script, "sh", made.executable, *made.argv[1:]], executable="/bin/sh"
    )


def with_env(made: Prepared, **more: str) -> Prepared:
    return msgspec.structs.replace(made, env={**made.env, **more})


class ClaimsAnotherIsolation(Right):
    isolation = "magic"


class SaysThatItDoesNotWork(Right):
    def probe(self) -> Availability:
        return Availability(False, "a reason", "a fix")


class SaysNoReason(Right):
    def probe(self) -> Availability:
        return Availability(False)


class SaysThatItWorks(Right):
    def prepare(self, request: SpawnRequest) -> Prepared:
        raise RpcError("it does not")


class LeavesAFile(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        (request.home / "left").touch()
        return request


class MakesMissingFolders(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        for mount in request.mounts.values():
            Path("/", mount.path).mkdir(parents=True, exist_ok=True)
        return request


class FollowsLinks(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        if (request.tree / "mnt").is_dir():
            (request.tree / "mnt" / "proj").unlink(missing_ok=True)
        return request


class IsNeverTheSame(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return with_env(made, UNIQUE=uuid.uuid4().hex)


class ShowsTheToken(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return msgspec.structs.replace(made, argv=[*made.argv, f"--token={request.token}"])


class ShowsTheEnvironment(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        settings = [f"{name}={value}" for name, value in made.env.items()]
        return msgspec.structs.replace(
            made, argv=["env", "-i", *settings, made.executable, *made.argv[1:]], executable="/usr/bin/env"
        )


class ForgetsNestedMounts(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        kept = {name: mount for name, mount in request.mounts.items() if "/" not in name}
        return msgspec.structs.replace(request, mounts=kept)


class HidesFailures(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return msgspec.structs.replace(made, failed_mounts=[])


class WritesElsewhere(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        for name, mount in request.mounts.items():
            shutil.copytree(Path("/", mount.path), request.tree / "copy" / name)
        mounts = {n: msgspec.structs.replace(m, path=f"{request.tree}/copy/{n}") for n, m in request.mounts.items()}
        return msgspec.structs.replace(request, mounts=mounts)


class ClaimsReadOnly(Right):
    honours = frozenset({"ro"})


class ClaimsOneShot(Right):
    honours = frozenset({"oneShot"})


class ClaimsIsolation(Right):
    isolation = "bubblewrap"


class IgnoresTheWorkingDirectory(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        return msgspec.structs.replace(request, cwd="")


class TakesTheFirstMount(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        first = next(name for name in request.mounts if name not in ("outputs", ".hidden"))
        return msgspec.structs.replace(request, cwd=guest(first))


class LiesAboutTheWorkingDirectory(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return with_env(made, PWD="/tmp")


class LosesVariables(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        env = {name: value and value.strip() for name, value in request.env.items()}
        return msgspec.structs.replace(request, env=env)


class KeepsWhatIsUnset(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        return msgspec.structs.replace(request, env={name: value for name, value in request.env.items() if value})


class InsistsOnTheToken(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return with_env(made, **({suite.TOKEN: request.token} if request.token else {}))


class PassesEverything(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return msgspec.structs.replace(made, env={**request.inherited, **made.env})


class HasNoHome(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return with_env(made, HOME="/nonexistent")


class JoinsArguments(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'exec "$1" "$2" "$3" "$4" "$5" $6')


class LeaksADescriptor(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'exec 7</dev/null; exec "$@"')


class IgnoresAnInterrupt(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, "trap '' INT; exec \"$@\"")


class RunsSomethingElse(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        try:
            HostBackend.prepare(self, request)
        except RpcError:
            return msgspec.structs.replace(request, command="/bin/true")
        return request


class HasItsOwnTree(Right):
    def before(self, request: SpawnRequest) -> SpawnRequest:
        tree = request.tree / uuid.uuid4().hex
        tree.mkdir()
        return msgspec.structs.replace(request, tree=tree)


class LosesNul(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, "\"$@\" | tr -d '\\0'")


class MixesStreams(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'exec "$@" 2>&1')


class TakesTheInput(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'exec "$@" </dev/null')


class LosesTheExitCode(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, '"$@" || exit 1')


class TellsSignalsAsCodes(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'trap : TERM INT HUP QUIT USR1; "$@" 2>/dev/null; exit $?')


class HasNoTerminal(Right):
    def after(self, request: SpawnRequest, made: Prepared) -> Prepared:
        return wrapped(made, 'exec setsid -w "$@"')


WRONG: list[tuple[type[HostBackend], str]] = [
    (ClaimsAnotherIsolation, "test_it_says_what_it_is"),
    (SaysThatItDoesNotWork, "test_the_probe_tells_the_truth"),
    (SaysNoReason, "test_the_probe_tells_the_truth"),
    (LeavesAFile, "test_preparing_only_looks"),
    (FollowsLinks, "test_preparing_follows_no_link_that_the_session_has_made"),
    (IsNeverTheSame, "test_preparing_depends_on_nothing_but_the_request"),
    (ShowsTheToken, "test_secrets_are_nowhere_to_be_read"),
    (ShowsTheEnvironment, "test_secrets_are_nowhere_to_be_read"),
    (ForgetsNestedMounts, "test_nested_mounts"),
    (ForgetsNestedMounts, "test_two_sessions_of_one_folder"),
    (HidesFailures, "test_a_missing_folder_is_told_and_not_made"),
    (HidesFailures, "test_bad_names_and_sources_fail_alone"),
    (MakesMissingFolders, "test_a_missing_folder_is_told_and_not_made"),
    (WritesElsewhere, "test_what_is_written_is_the_users"),
    (ClaimsReadOnly, "test_read_only"),
    (ClaimsOneShot, "test_its_place_is_kept"),
    (ClaimsIsolation, "test_isolation_shows_no_more_than_what_was_given"),
    (IgnoresTheWorkingDirectory, "test_the_clients_working_directory"),
    (IgnoresTheWorkingDirectory, "test_a_working_directory_that_is_none"),
    (TakesTheFirstMount, "test_the_first_workspace"),
    (LiesAboutTheWorkingDirectory, "test_without_a_workspace"),
    (LosesVariables, "test_variables_arrive"),
    (KeepsWhatIsUnset, "test_empty_means_unset"),
    (InsistsOnTheToken, "test_the_token"),
    (PassesEverything, "test_nothing_of_what_is_around_us"),
    (HasNoHome, "test_home"),
    (JoinsArguments, "test_arguments_survive"),
    (LeaksADescriptor, "test_it_begins_with_nothing_but_its_streams"),
    (IgnoresAnInterrupt, "test_it_begins_with_nothing_but_its_streams"),
    (HasNoTerminal, "test_a_terminal"),
    (HasItsOwnTree, "test_its_place_is_kept"),
    (RunsSomethingElse, "test_a_program_that_is_not_there"),
    (LosesNul, "test_output_is_intact"),
    (MixesStreams, "test_both_streams_are_in_order"),
    (TakesTheInput, "test_input_is_intact"),
    (LosesTheExitCode, "test_exit_codes"),
    (TellsSignalsAsCodes, "test_deadly_signals"),
]


def suite_of(backend: Callable[[], HostBackend]) -> BackendConformance:
    """The suite for a backend."""
    made = type("Suite", (BackendConformance,), {"make_backend": lambda self: backend()})
    assert issubclass(made, BackendConformance)
    return made()


@contextmanager
def set_up(backend: Callable[[], HostBackend]) -> Iterator[BackendConformance]:
    """The suite between ``setup_method`` and ``teardown_method``."""
    made = suite_of(backend)
    made.setup_method()
    try:
        yield made
    finally:
        made.teardown_method()


@pytest.mark.parametrize(("backend", "test"), WRONG, ids=lambda value: getattr(value, "__name__", None))
def test_a_wrong_backend_fails_the_right_test(backend: type[HostBackend], test: str) -> None:
    with set_up(backend) as made, pytest.raises(AssertionError):
        getattr(made, test)()
    assert not made.folder.exists()


def test_the_probe_of_a_backend_that_cannot_prepare_anything() -> None:
    with set_up(SaysThatItWorks) as made, pytest.raises(RpcError):
        made.test_the_probe_tells_the_truth()


def test_a_probe_that_says_no_is_believed_when_nothing_runs() -> None:
    class SaysNo(SaysThatItWorks):
        def probe(self) -> Availability:
            return Availability(False, "a reason", "a fix")

    with set_up(SaysNo) as made:
        made.test_the_probe_tells_the_truth()


def test_what_outlives_a_session_is_found_wherever_it_is() -> None:
    """A process that is not below the holder, as one that a service has started."""
    with set_up(Right) as made:
        tag = made.make_request().env[suite.TAG]
        assert tag is not None
        with subprocess.Popen(["/bin/sleep", "3600"], env={suite.TAG: tag}, stdin=subprocess.DEVNULL) as outside:
            assert made.started_here() == [outside.pid]
            with pytest.raises(AssertionError, match=r"still there after the end: .*sleep 3600"):
                made.test_nothing_outlives_a_session()
            assert outside.poll() is None
            made.teardown_method()
            assert outside.wait(running.PATIENCE) == -9


def test_what_holds_a_file_of_the_test_is_found() -> None:
    with set_up(Right) as made:
        path = made.have("folder", a_txt="x") / "a.txt"
        with path.open() as file, subprocess.Popen(["/bin/sleep", "3600"], env={}, stdin=file) as outside:
            assert made.started_here() == [outside.pid]
            made.teardown_method()
            assert outside.wait(running.PATIENCE) == -9


def test_what_a_failed_test_leaves_is_ended() -> None:
    made = suite_of(Right)
    made.setup_method()
    running = made.start(made.sh("sleep 3600 & echo ready; exec sleep 3600"))
    running.until(b"ready")
    assert len(running.watch()) == 2
    assert sorted(made.started_here()) == sorted([running.holder, *running.watch()])
    made.teardown_method()
    assert made.started_here() == []
    assert not made.folder.exists()


def test_a_program_that_ends_before_it_says_what_it_should() -> None:
    with set_up(Right) as made, pytest.raises(AssertionError, match="why"):
        made.start(made.sh("echo why >&2")).until(b"ready")


def test_surroundings_are_left_when_there_is_no_backend() -> None:
    left = []

    class Unfinished(BackendConformance):
        @contextmanager
        def surroundings(self) -> Iterator[Path]:
            with super().surroundings() as folder:
                yield folder
                left.append(folder)

    with pytest.raises(NotImplementedError, match="make_backend"):
        Unfinished().setup_method()
    assert left == []


def test_every_test_tells_its_guarantee() -> None:
    assert len(TESTS) > 40
    for name in TESTS:
        test = getattr(BackendConformance, name)
        assert list(inspect.signature(test).parameters) == ["self"], name
        assert (test.__doc__ or "").count("\n") == 0, name
        assert test.__doc__.endswith("."), name


def test_it_needs_no_pytest() -> None:
    script = "import sys, cowork.testing.backend_conformance; sys.exit('pytest' in sys.modules)"
    source = str(Path(cowork.__file__).parent.parent)
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": source}, check=False)
    assert done.returncode == 0


def test_paths_as_the_program_spells_them() -> None:
    session = SessionMap("otter", "/t", [MappedMount("proj", "/home/ana/proj")])
    prepared = Prepared(["c"], "c", {}, "/", [], session)
    assert guest("proj", "otter") == "/sessions/otter/mnt/proj"
    assert guest(name="otter") == "/sessions/otter"
    assert seen(prepared, guest("proj/x", "otter")) == "/home/ana/proj/x"
    assert seen(prepared, "/elsewhere") == "/elsewhere"
    inside = msgspec.structs.replace(prepared, translated=False)
    assert seen(inside, guest("proj/x", "otter")) == "/sessions/otter/mnt/proj/x"
