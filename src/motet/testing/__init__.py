"""
What tests of programs with models need: a scripted backend, a simulated model server.

`import motet` does not load this package.
"""

from motet.testing.cassettes import Cassette as Cassette
from motet.testing.cassettes import NotRecorded as NotRecorded
from motet.testing.cassettes import use_cassette as use_cassette
from motet.testing.disturbances import Disturbance as Disturbance
from motet.testing.disturbances import fail_everywhere as fail_everywhere
from motet.testing.disturbances import on_both_loops as on_both_loops
from motet.testing.disturbances import slow_everywhere as slow_everywhere
from motet.testing.leaks import Leak as Leak
from motet.testing.leaks import LeakError as LeakError
from motet.testing.leaks import no_leaks as no_leaks
from motet.testing.network import NetworkBlocked as NetworkBlocked
from motet.testing.network import no_network as no_network
from motet.testing.scripted import ScriptedBackend as ScriptedBackend
from motet.testing.scripts import NEVER as NEVER
from motet.testing.scripts import TRUNCATED as TRUNCATED
from motet.testing.scripts import Finish as Finish
from motet.testing.scripts import Pause as Pause
from motet.testing.scripts import ReplyOutcome as ReplyOutcome
from motet.testing.scripts import ScriptedReply as ScriptedReply
from motet.testing.scripts import ScriptedRequest as ScriptedRequest
from motet.testing.scripts import ScriptedStep as ScriptedStep
from motet.testing.scripts import ScriptError as ScriptError
from motet.testing.scripts import Thinking as Thinking
from motet.testing.server import Drop as Drop
from motet.testing.server import EndlessHeaders as EndlessHeaders
from motet.testing.server import EndlessLine as EndlessLine
from motet.testing.server import ErrorLine as ErrorLine
from motet.testing.server import Fault as Fault
from motet.testing.server import Garbage as Garbage
from motet.testing.server import ModelServer as ModelServer
from motet.testing.server import Outcome as Outcome
from motet.testing.server import Redirect as Redirect
from motet.testing.server import Refuse as Refuse
from motet.testing.server import Reply as Reply
from motet.testing.server import Reset as Reset
from motet.testing.server import ServedRequest as ServedRequest
from motet.testing.server import Stall as Stall
from motet.testing.server import Step as Step
from motet.testing.server import Truncate as Truncate
from motet.testing.server import open_server as open_server
from motet.testing.server import serve_in_thread as serve_in_thread
from motet.testing.sweep import Checkpoint as Checkpoint
from motet.testing.sweep import Finding as Finding
from motet.testing.sweep import Report as Report
from motet.testing.sweep import SweepFailed as SweepFailed
from motet.testing.sweep import Way as Way
from motet.testing.sweep import cancel_everywhere as cancel_everywhere
from motet.testing.virtual_time import run_on_virtual_time as run_on_virtual_time
from motet.testing.virtual_time import virtual_loop as virtual_loop
from motet.testing.waiting import TaskWait as TaskWait
from motet.testing.waiting import describe_tasks as describe_tasks
from motet.testing.waiting import waiting_tasks as waiting_tasks

for _name, _public in list(globals().items()):
    if not _name.startswith("_") and hasattr(_public, "__qualname__"):
        _public.__module__ = __name__
