"""The supervisor with workers that are small scripts: started, replaced, told, stopped, failures passed on."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from foretell.cli.serving import supervisor as supervision
from foretell.cli.serving.address import bind_each
from foretell.cli.serving.reloader import Reloader
from foretell.cli.serving.supervisor import Supervisor
from foretell.cli.serving.watch import Watch
from foretell.errors import SettingsError, StartFailed
from foretell.settings import Settings

READY = "import os, sys, time; w = int(sys.argv[2]); os.write(w, b'{\"ready\": true}\\n');"
"""A worker that says it is ready; what follows is what it does then."""
NOTE = "open(sys.argv[4], 'a').write(f'{os.getpid()} {sys.argv[3]}\\n');"


def sleeper(after: str = "") -> str:
    return f"{READY}{NOTE}{after}time.sleep(60)"


class Running:
    """A supervisor in the main thread is what signals need; a thread beside it plays the operator."""

    def __init__(self, tmp_path: Path, sockets: list[socket.socket]) -> None:
        self.notes = tmp_path / "notes"
        self.notes.touch()
        self.sockets = sockets

    def first(self, count: int) -> list[socket.socket]:
        """The sockets of so many workers."""
        for spare in self.sockets[count:]:
            spare.close()
        del self.sockets[count:]
        return self.sockets

    def command(self, *codes: str) -> Callable[[int, int, bool], list[str]]:
        """The codes of the workers in the order of their starts; the last for all further ones."""
        left = list(codes)

        def command(socket_fd: int, status_fd: int, announce: bool) -> list[str]:
            code = left.pop(0) if len(left) > 1 else left[0]
            return [sys.executable, "-c", code, str(socket_fd), str(status_fd), str(int(announce)), str(self.notes)]

        return command

    def pids(self) -> list[int]:
        return [int(line.split()[0]) for line in self.notes.read_text().splitlines()]

    def run(self, supervisor: Supervisor, *steps: Callable[[], None]) -> None:
        """Runs it while ``steps`` are taken; then stops it with SIGTERM, if it is not stopping already."""
        failures: list[BaseException] = []

        def operate() -> None:
            try:
                for step in steps:
                    step()
            except BaseException as error:
                failures.append(error)
            finally:
                if not supervisor.stopping:
                    os.kill(os.getpid(), signal.SIGTERM)

        operator = threading.Thread(target=operate)
        before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
        operator.start()
        try:
            supervisor.run()
        finally:
            operator.join()
            signal.signal(signal.SIGTERM, before)
        for failure in failures:
            raise failure

    def until(self, condition: Callable[[], bool]) -> Callable[[], None]:
        def wait() -> None:
            deadline, pause = time.monotonic() + 20, threading.Event()
            while not condition():
                assert time.monotonic() < deadline, self.notes.read_text()
                pause.wait(0.01)

        return wait

    def started(self, count: int) -> Callable[[], None]:
        return self.until(lambda: len(self.pids()) >= count)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with bind_each(Settings(port=0), 3) as sockets:
        yield Running(tmp_path, sockets)


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_as_many_workers_as_asked_for_share_the_port_and_one_announces(running: Running) -> None:
    check = "import socket; assert socket.socket(fileno=int(sys.argv[1])).getsockname();"
    supervisor = Supervisor(Settings(), running.first(3), running.command(sleeper(check)))
    running.run(supervisor, running.started(3))
    assert sorted(line.split()[1] for line in running.notes.read_text().splitlines()) == ["0", "0", "1"]
    assert not any(alive(pid) for pid in running.pids())


def test_workers_get_the_settings_of_the_command_line_and_thread_counts(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    code = (
        f"{READY}from foretell.settings import Settings; from foretell.settings_secrets import take_over;"
        "settings = Settings.from_export(take_over(int(os.environ.pop('FORETELL_SETTINGS_DESCRIPTOR'))));"
        "names = ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS');"
        "text = ' '.join([str(settings.port), *map(os.environ.get, names)]);"
        "open(sys.argv[4], 'w').write(text); time.sleep(60)"
    )
    settings = Settings.load({"port": 1234, "execution.threads": 3}, environ={}, directory=running.notes.parent)
    supervisor = Supervisor(settings, running.first(1), running.command(code))
    running.run(supervisor, running.until(lambda: len(running.notes.read_text().split()) == 4))
    assert running.notes.read_text() == "1234 3 7 3"


def test_a_worker_that_is_killed_is_replaced_at_once_and_logged(running: Running) -> None:
    supervisor = Supervisor(Settings(), running.first(2), running.command(sleeper()))

    def kill() -> None:
        running.until(lambda: all(slot.ever_ready for slot in supervisor.slots))()
        os.kill(running.pids()[0], signal.SIGKILL)

    with capture_logs() as logs:
        running.run(supervisor, running.started(2), kill, running.started(3))
    (died,) = [event for event in logs if event["event"] == "worker_died"]
    assert (died["ended"], died["restart_s"], died["detail"]) == ("signal SIGKILL", 0.0, None)
    assert died["pid"] == running.pids()[0]


LISTENS = f"{READY}import socket; s = socket.socket(fileno=int(sys.argv[1])); s.listen();"
ANSWERS = f"{LISTENS}{NOTE}\nwhile True: s.accept()[0].send(b'here')"


def asks(place: Any) -> None:
    for _ in range(20):
        with socket.create_connection(place, timeout=10) as connection:
            assert connection.recv(4) == b"here"


def test_connections_that_come_while_a_worker_is_replaced_wait_for_the_new_one(running: Running) -> None:
    supervisor = Supervisor(Settings(), running.first(2), running.command(ANSWERS))
    place = running.sockets[0].getsockname()

    def kill() -> None:
        victim = running.pids()[0]
        os.kill(victim, signal.SIGKILL)
        running.until(lambda: not alive(victim))()  # what it had accepted dies with it

    running.run(supervisor, running.started(2), kill, lambda: asks(place))
    assert len(running.pids()) == 3


def test_while_a_worker_cannot_be_replaced_the_others_get_everything(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RETRY_S", (60.0,))
    supervisor = Supervisor(Settings(), running.first(2), running.command(ANSWERS, ANSWERS, "raise SystemExit(1)"))
    place, before = running.sockets[0].getsockname(), list(running.sockets)
    bound_anew = running.until(lambda: running.sockets != before)
    running.run(
        supervisor,
        running.started(2),
        lambda: os.kill(running.pids()[0], signal.SIGKILL),
        bound_anew,
        lambda: asks(place),
    )


def test_a_replacement_that_fails_is_tried_again_after_a_pause(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "RETRY_S", (0.0, 0.01, 0.02))
    fails = f"{NOTE.replace('open', 'import os, sys; open', 1)}" + (
        'os.write(int(sys.argv[2]), b\'{"failed": "no room", "hint": null, "exit_code": 65}\\n\')'
    )
    codes = (f"{READY}{NOTE}", fails, fails, sleeper())
    supervisor = Supervisor(Settings(), running.first(1), running.command(*codes))
    with capture_logs() as logs:
        running.run(supervisor, running.started(4))
    assert [(event["restart_s"], event["detail"]) for event in logs] == [
        (0.0, None),
        (0.02, "no room"),
        (0.02, "no room"),
    ]


def test_a_worker_that_fails_before_any_served_stops_the_whole_with_its_reason(running: Running) -> None:
    status = json.dumps({"failed": "Nothing to serve.", "hint": "look there", "exit_code": 65})
    fails = f"import os, sys; os.write(int(sys.argv[2]), {status!r}.encode() + b'\\n')"
    supervisor = Supervisor(Settings(), running.first(2), running.command(sleeper(), fails))
    with pytest.raises(StartFailed, match="Nothing to serve") as caught:
        supervisor.run()
    assert (caught.value.exit_code, caught.value.hint) == (65, "look there")
    assert not any(alive(pid) for pid in running.pids())


def test_a_worker_that_ends_without_a_word_stops_the_whole(running: Running) -> None:
    supervisor = Supervisor(Settings(), running.first(1), running.command("raise SystemExit(9)"))
    with pytest.raises(StartFailed, match="exit code 9 before it served") as caught:
        supervisor.run()
    assert caught.value.exit_code == 70


def test_sighup_reaches_every_worker_also_one_that_is_not_ready_yet(running: Running) -> None:
    note = "open(sys.argv[4], 'a').write(f'{os.getpid()} hup\\n')"
    listens = f"import os, sys, time, signal; signal.signal(signal.SIGHUP, lambda *_: {note});"
    late = (
        f"import os, sys, time; {NOTE}\n"
        "while not os.path.exists(sys.argv[4] + '.go'): time.sleep(0.01)\n"
        f"{listens}{READY}\n"
        "while True: time.sleep(1)"
    )
    soon = f"{listens}{READY}{NOTE}\nwhile True: time.sleep(1)"
    supervisor = Supervisor(Settings(), running.first(2), running.command(soon, late))

    def hang_up() -> None:
        running.until(lambda: supervisor.slots[0].ever_ready)()
        os.kill(os.getpid(), signal.SIGHUP)

    def heard(count: int) -> Callable[[], None]:
        return running.until(lambda: running.notes.read_text().count("hup") == count)

    go = running.notes.with_name("notes.go").touch
    running.run(supervisor, running.started(2), hang_up, heard(1), go, heard(2))


def test_sighup_of_a_terminal_that_is_gone_stops(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = iter([True, False])
    monkeypatch.setattr(supervision, "has_terminal", lambda: next(terminal))
    supervisor = Supervisor(Settings(), running.first(1), running.command(sleeper()))
    running.run(
        supervisor,
        running.started(1),
        lambda: os.kill(os.getpid(), signal.SIGHUP),
        running.until(lambda: supervisor.stopping),
    )


DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}{NOTE}time.sleep(60)"


def test_a_worker_that_does_not_stop_in_time_is_killed(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "STOP_GRACE_S", 0.2)
    supervisor = Supervisor(Settings(drain_s=0), running.first(1), running.command(DEAF))
    running.run(supervisor, running.started(1))
    assert not alive(running.pids()[0])


def test_a_second_signal_stops_at_once(running: Running) -> None:
    supervisor = Supervisor(Settings(), running.first(1), running.command(DEAF))
    running.run(
        supervisor,
        running.started(1),
        lambda: os.kill(os.getpid(), signal.SIGINT),
        running.until(lambda: supervisor.stopping),
        lambda: os.kill(os.getpid(), signal.SIGINT),
    )
    assert not alive(running.pids()[0])


# -- reload ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def reloader(running: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Reloader]:
    monkeypatch.setattr("foretell.cli.serving.reloader.LOOK_S", 0.02)
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "models"
    folder.mkdir()

    def make(*codes: str, reread: Callable[[], Settings] = Settings) -> Reloader:
        watch = Watch(folder, tmp_path)
        return Reloader(Settings(), running.first(1), running.command(*codes), reread=reread, watch=watch)

    return make


def test_a_change_restarts_the_worker_and_is_named(
    running: Running, reloader: Callable[..., Reloader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change() -> None:
        for number in range(7):
            (tmp_path / "models" / f"{number}.toml").write_text("x")

    running.run(reloader(sleeper()), running.started(1), change, running.started(2))
    assert "changed" in capsys.readouterr().err
    assert [line.split()[1] for line in running.notes.read_text().splitlines()][:2] == ["1", "1"]


def test_a_worker_that_fails_waits_for_a_change(
    running: Running, reloader: Callable[..., Reloader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def waiting() -> bool:
        said.append(capsys.readouterr().err)
        return "waiting for a change" in "".join(said)

    running.run(
        reloader("raise SystemExit(1)", sleeper()),
        running.until(waiting),
        (tmp_path / "models" / "model.onnx").touch,
        running.started(1),
    )
    assert "error: A worker ended with exit code 1 before it served." in "".join(said)


def test_a_worker_that_dies_while_serving_waits_for_a_change(
    running: Running, reloader: Callable[..., Reloader], capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def waiting() -> bool:
        said.append(capsys.readouterr().err)
        return "waiting for a change" in "".join(said)

    running.run(reloader(READY), running.until(waiting))
    assert "error: The server ended by itself." in "".join(said)


def test_settings_that_cannot_be_used_are_told_and_the_worker_stays(
    running: Running, reloader: Callable[..., Reloader], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def refuse() -> Settings:
        raise SettingsError("foretell.toml: prot is not a setting")

    def told() -> bool:
        said.append(capsys.readouterr().err)
        return "prot is not a setting" in "".join(said)

    running.run(
        reloader(sleeper(), reread=refuse),
        running.started(1),
        (tmp_path / "foretell.toml").touch,
        running.until(told),
    )
    assert len(running.pids()) == 1
