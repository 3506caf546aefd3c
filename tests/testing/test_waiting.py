"""What tasks wait for, in words; the guard in front of the network, outside of pytest's plugin."""

import socket
import threading

import anyio
import anyio.abc
import pytest

from loops import REAL_LOOPS
from motet.testing import NetworkBlocked, describe_tasks, no_network, waiting_tasks


async def forgets_to_open(gate: anyio.Event) -> None:
    await gate.wait()  # a gate that nobody opens


async def starts(gate: anyio.Event, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(forgets_to_open, gate, name="inner")
        task_status.started()


@pytest.mark.anyio
async def test_every_task_is_listed_below_its_parent() -> None:
    gate = anyio.Event()
    async with anyio.create_task_group() as tasks:
        await tasks.start(starts, gate, name="outer")
        tasks.start_soon(forgets_to_open, gate, name="second")
        await anyio.wait_all_tasks_blocked()
        listed = {task.name: task for task in waiting_tasks()}
        gate.set()
    outer, inner, second = listed["outer"], listed["inner"], listed["second"]
    assert inner.depth == outer.depth + 1 == second.depth + 1
    assert list(listed).index("outer") < list(listed).index("inner")
    assert "(forgets_to_open)" in inner.where
    assert inner.line == "await gate.wait()  # a gate that nobody opens"
    assert "(starts)" in outer.where
    assert inner.inside, "the innermost frame is another one"
    [here] = [task for task in listed.values() if task.running]
    assert "test_every_task_is_listed" in here.where


@pytest.mark.anyio
async def test_tasks_are_described_from_a_callback_while_the_loop_sleeps(
    anyio_backend_name: str,
) -> None:
    """As it is from a signal handler: no task is current, and asyncio alone would not know."""
    said: list[str] = []
    heard = anyio.Event()

    def say() -> None:
        said.append(describe_tasks())
        heard.set()

    here = anyio.lowlevel.current_token().native_token
    post = here.call_soon_threadsafe if anyio_backend_name == "asyncio" else here.run_sync_soon
    thread = threading.Thread(target=post, args=(say,))
    thread.start()
    await heard.wait()
    thread.join()
    assert "(test_tasks_are_described_from_a_callback_while_the_loop_sleeps)" in said[0]


def test_without_an_event_loop_threads_are_described() -> None:
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="a worker")
    thread.start()
    try:
        text = describe_tasks()
        with pytest.raises(RuntimeError):
            waiting_tasks()
    finally:
        stop.set()
        thread.join()
    assert text.startswith("no event loop runs; the thread is in ")
    assert "describe_tasks()" in text
    assert "thread 'a worker' is in" in text


# The network.


@pytest.mark.parametrize("loop", ["asyncio", "trio"])  # uvloop connects in C
def test_an_await_that_leaves_the_machine_is_blocked(loop: str) -> None:
    async def connect(host: str) -> None:
        await anyio.connect_tcp(host, 9)

    name, options = REAL_LOOPS[loop]
    for host in ("model.example", "192.0.2.1"):
        with no_network(), pytest.raises((NetworkBlocked, ExceptionGroup)) as caught:
            anyio.run(connect, host, backend=name, backend_options=options)
        blocked = caught.value
        while isinstance(blocked, ExceptionGroup):
            [blocked] = blocked.exceptions
        assert isinstance(blocked, NetworkBlocked)
        assert host in blocked.address


def test_every_way_out_is_guarded_and_given_back() -> None:
    before = dict(vars(socket.socket)), socket.getaddrinfo
    with socket.socket(type=socket.SOCK_DGRAM) as sock, no_network(allow=["192.0.2.9"]):
        with no_network():
            for host in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "192.0.2.9"):
                with pytest.raises(NetworkBlocked, match=r"blocked; answer with"):
                    sock.connect((host, 9))
            with pytest.raises(NetworkBlocked):
                sock.connect_ex(("192.0.2.1", 9))
            with pytest.raises(NetworkBlocked):
                sock.sendto(b"x", ("192.0.2.1", 9))
            with pytest.raises(NetworkBlocked):
                socket.getaddrinfo(b"model.example", 443)
        with pytest.raises(NetworkBlocked):
            sock.connect(("192.0.2.1", 9))
        for host in ("127.0.0.1", "127.1.2.3", "localhost", "0.0.0.0"):
            sock.connect((host, 9))
        assert socket.getaddrinfo("localhost", 9)
        assert socket.getaddrinfo(None, 9)
    assert (dict(vars(socket.socket)), socket.getaddrinfo) == before
