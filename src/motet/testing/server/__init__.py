"""
A simulated model server: real sockets, scripted faults, honest about what it is.

    _protocol       what all wire protocols have in common
    _models         which models there are, and what they are called
    _fields         the bodies of requests
    _ollama         the Ollama protocol
    _openai         the OpenAI protocol
    _replies/       what the model says
    _pacing         when each token is due
    _records        what was seen
    _scripts        what shall happen, as data
    _bells          waiting for a change from any thread and loop
    _http           one connection
    _perform        one response
    _server         all of them
    _threads        the same in a thread of its own

Use the names that `motet.testing` exports. From a shell: ``python -m motet.testing.server``.
"""

from motet.testing.server._records import Outcome as Outcome
from motet.testing.server._records import ServedRequest as ServedRequest
from motet.testing.server._scripts import Drop as Drop
from motet.testing.server._scripts import EndlessHeaders as EndlessHeaders
from motet.testing.server._scripts import EndlessLine as EndlessLine
from motet.testing.server._scripts import ErrorLine as ErrorLine
from motet.testing.server._scripts import Fault as Fault
from motet.testing.server._scripts import Garbage as Garbage
from motet.testing.server._scripts import Redirect as Redirect
from motet.testing.server._scripts import Refuse as Refuse
from motet.testing.server._scripts import Reply as Reply
from motet.testing.server._scripts import Reset as Reset
from motet.testing.server._scripts import Stall as Stall
from motet.testing.server._scripts import Step as Step
from motet.testing.server._scripts import Truncate as Truncate
from motet.testing.server._server import ModelServer as ModelServer
from motet.testing.server._server import open_server as open_server
from motet.testing.server._threads import serve_in_thread as serve_in_thread
