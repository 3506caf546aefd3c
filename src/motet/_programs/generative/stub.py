"""`generative`: a function whose body is a model."""

from __future__ import annotations

import copy
import functools
import inspect
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    ParamSpec,
    Protocol,
    TypeVar,
    cast,
    overload,
    runtime_checkable,
)

import anyio.lowlevel
import attrs

from ..._language.component import unfinished_parts
from ..._language.context import Context, ContextT
from ..._language.requirement import Requirement
from ..._language.signatures import is_async
from ..._runtime.portal import default_portal
from ..._thunk.fanout import check_mots
from ..._thunk.inputs import wait_for_inputs
from ..._thunk.thunk import ModelOutputThunk
from ..._values.errors import DependencyError, PendingReplyError
from ...backends.base import Backend
from ..checks import reqify
from ..sampling.base import SamplingStrategy
from ..sampling.run import begin_sampled
from .arguments import Arguments
from .call import GenerativeCall, Misfit
from .function import Function
from .preconditions import check_preconditions

if TYPE_CHECKING:
    from pydantic import BaseModel

_log: Final = logging.getLogger("motet")

P = ParamSpec("P")
R = TypeVar("R")

Requirements = Sequence[Requirement | str] | None

# What a stub takes for itself, and what it hands the rest over in.
RESERVED: Final = (
    "f_args",
    "f_kwargs",
    "m",
    "context",
    "backend",
    "model_options",
    "strategy",
    "precondition_requirements",
    "requirements",
)


@runtime_checkable
class Caller(Protocol):
    """What a stub needs of a session."""

    @property
    def backend(self) -> Backend:
        """Talks to the model."""

    @property
    def ctx(self) -> Context:
        """What was said before."""

    def _start(self, *args: Any, **kwargs: Any) -> ModelOutputThunk[Any]:
        """Start a generation and append its turn; not a checkpoint.

        It takes the action and, by name, ``format``, ``model_options``, ``tool_calls``,
        ``requirements`` and ``strategy``.
        """


@attrs.frozen
class ExtractedArgs:
    """A call of a stub: what is for the stub, and what is for the function."""

    m: Caller | None
    context: Context | None
    backend: Backend
    f_kwargs: dict[str, Any]
    precondition_requirements: Sequence[Requirement | str]
    requirements: Sequence[Requirement]
    strategy: SamplingStrategy | None
    model_options: Mapping[str, Any] | None


class GenerativeStub(Generic[P, R]):
    """A function whose body is a model: see `generative`."""

    __name__: str

    def __init__(self, func: Callable[..., Any]) -> None:
        if not callable(func) or inspect.isclass(func):
            raise TypeError(f"generative should be given a function, not {func!r}")
        names = inspect.signature(func).parameters
        taken = [name for name in names if name in RESERVED]
        if taken:
            raise ValueError(
                f"a generative function cannot have parameters named {', '.join(taken)}: these "
                "are for the call itself"
            )
        functools.update_wrapper(cast("Callable[..., Any]", self), func)
        self._function: Final = Function(func)

    @property
    def response_format(self) -> type[BaseModel]:
        """The pydantic model that a reply must conform to: its one field is ``result``.

        Raises:
            TypeError: what the function returns cannot be described to a model.
        """
        return self._function.response

    def _extract(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ExtractedArgs:
        """Take a call apart.

        Raises:
            TypeError: it is no call of this function.
        """
        given = dict(kwargs)
        mine = {name: given.pop(name, None) for name in RESERVED}
        match args:
            case ():
                pass
            case (Context() as said, Backend() as asked):
                mine |= {"context": said, "backend": asked}
            case (Context() as said,):
                mine |= {"context": said}
            case (first,) if isinstance(first, Caller) and mine["m"] is None:
                mine |= {"m": first}
            case (first, *_) if not isinstance(first, Context | Caller):
                raise TypeError(
                    f"{self._function.name}() is a generative function: its first argument is a "
                    f"session, or a context and a backend, not {type(first).__name__}"
                )
            case _:
                raise TypeError(
                    f"{self._function.name}() is a generative function, which takes the arguments "
                    "of the function by keyword only"
                )
        session: Caller | None = mine["m"]
        context: Context | None = mine["context"]
        backend: Backend = mine["backend"]
        if session is not None and isinstance(session, Caller):
            context, backend = None, session.backend
        elif session is not None or not (
            isinstance(context, Context) and isinstance(backend, Backend)
        ):
            raise TypeError(
                f"{self._function.name}() is a generative function, which needs a session (m=...), "
                "or a context and a backend (context=..., backend=...)"
            )
        strategy = mine["strategy"]
        if strategy is not None and not isinstance(strategy, SamplingStrategy):
            raise TypeError(
                f"strategy should be a SamplingStrategy or None, not {type(strategy).__name__}"
            )
        return ExtractedArgs(
            m=session,
            context=context,
            backend=backend,
            f_kwargs=self._function.bind(**given),
            precondition_requirements=_listed(mine, "precondition_requirements"),
            requirements=[reqify(each) for each in _listed(mine, "requirements")],
            strategy=strategy,
            model_options=mine["model_options"],
        )

    async def _call(self, called: ExtractedArgs) -> Any:
        """Make the call; all of it, for both kinds of functions."""
        await anyio.lowlevel.checkpoint()
        arguments = Arguments.of(self._function, called.f_kwargs)
        if called.precondition_requirements:
            await wait_for_inputs(check_mots(unfinished_parts(arguments)))
            await check_preconditions(
                called.precondition_requirements,
                arguments,
                self._function.name,
                called.backend,
                called.model_options,
            )
        action: GenerativeCall[Any] = GenerativeCall(
            self._function,
            arguments,
            called.requirements,
            repairable=called.strategy is not None,
        )
        thunk = self._start(called, action)
        # The thunk never leaves this call, so nobody else can want it.
        async with thunk:
            await thunk
        value: Any = thunk.parsed_repr
        if isinstance(value, Misfit):
            raise value.error
        if called.context is None:
            return value
        return value, called.context.add(action).add(thunk)

    def _start(self, called: ExtractedArgs, action: GenerativeCall[Any]) -> ModelOutputThunk[Any]:
        options: dict[str, Any] = {
            "format": self._function.response,
            "model_options": called.model_options,
            "tool_calls": False,
        }
        if called.strategy is not None:
            options |= {
                "strategy": _checking(called.strategy, action),
                "requirements": action.checked_by(called.requirements),
            }
        elif called.requirements:
            _log.warning(
                "without a strategy the requirements of %s() are told to the model, not checked",
                self._function.name,
            )
        if called.m is not None:
            return called.m._start(action, **options)
        assert called.context is not None
        if called.strategy is not None:
            return begin_sampled(called.backend, action, called.context, **options)
        return called.backend.begin(action, called.context, **options)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._function.name}{self._function.signature}>"


# Of each kind, the first two forms of a call have the function's own parameters, and the
# last two replies in the place of all of them. That some may be replies and others not is
# more than types can say.


class SyncGenerativeStub(GenerativeStub[P, R]):
    """A generative function that blocks until its value is there."""

    @overload
    def __call__(
        self,
        context: ContextT,
        backend: Backend,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> tuple[R, ContextT]: ...
    @overload
    def __call__(
        self,
        m: Caller,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> R: ...
    @overload
    def __call__(
        self,
        context: ContextT,
        backend: Backend,
        *,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        **kwargs: ModelOutputThunk[Any],
    ) -> tuple[R, ContextT]: ...
    @overload
    def __call__(
        self,
        m: Caller,
        *,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        **kwargs: ModelOutputThunk[Any],
    ) -> R: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Ask the model what the function returns, and wait for it.

        It blocks the calling thread. Ctrl-C stops the request before it goes on.

        Args:
            args: a session, or a context and a backend; by name ``m``, or ``context`` and
                ``backend``.
            kwargs: the arguments of the function, and those that `generative` lists.

        Raises:
            PendingReplyError: an argument is a reply that this event loop has yet to
                deliver, which it cannot while it is blocked.
            DependencyError: an argument is a reply that failed.
            ReplyMismatch: the reply is not of the type that the function returns.
            PreconditionException: the arguments are not as *precondition_requirements* say.
            BackendError, GenerationCancelled: there is no full reply.
            TypeError: the arguments are not those of the function.
        """
        called = self._extract(args, kwargs)
        self._settle(Arguments.of(self._function, called.f_kwargs))
        return default_portal().call(self._call, called)

    def _settle(self, arguments: Arguments) -> None:
        """Wait for the replies among the arguments: on the portal they could not be waited for."""
        for thunk in unfinished_parts(arguments):
            host = thunk._source.host
            if not thunk.is_settled() and host is not None and host.is_here():
                raise PendingReplyError(
                    f"an argument of {self._function.name}() is a reply that has not arrived, and "
                    "cannot while this call blocks the event loop: `await` it first, or make "
                    f"{self._function.name} an `async def`, which waits for it"
                )
            try:
                str(thunk)
            except Exception as exc:
                if not thunk.is_settled():
                    raise  # it cannot be waited for here, and says why
                raise DependencyError(
                    f"a reply that {self._function.name}() needs as an argument failed"
                ) from exc


class AsyncGenerativeStub(GenerativeStub[P, R]):
    """A generative function that is awaited."""

    @overload
    def __call__(
        self,
        context: ContextT,
        backend: Backend,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, tuple[R, ContextT]]: ...
    @overload
    def __call__(
        self,
        m: Caller,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self,
        context: ContextT,
        backend: Backend,
        *,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        **kwargs: ModelOutputThunk[Any],
    ) -> Coroutine[Any, Any, tuple[R, ContextT]]: ...
    @overload
    def __call__(
        self,
        m: Caller,
        *,
        precondition_requirements: Requirements = None,
        requirements: Requirements = None,
        strategy: SamplingStrategy | None = None,
        model_options: Mapping[str, Any] | None = None,
        **kwargs: ModelOutputThunk[Any],
    ) -> Coroutine[Any, Any, R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        """Return a coroutine that asks the model what the function returns.

        Awaiting it is a checkpoint; a cancellation stops the request before it goes on. An
        argument may be a reply that has not arrived: the generation waits for it. What is
        wrong with the arguments is raised at once, and not when it is awaited.

        Args:
            args: a session, or a context and a backend; by name ``m``, or ``context`` and
                ``backend``.
            kwargs: the arguments of the function, and those that `generative` lists.

        Raises:
            DependencyError: an argument is a reply that failed.
            ReplyMismatch: the reply is not of the type that the function returns.
            PreconditionException: the arguments are not as *precondition_requirements* say.
            BackendError, GenerationCancelled: there is no full reply.
            TypeError: the arguments are not those of the function.
        """
        return self._call(self._extract(args, kwargs))


# A function that returns a coroutine fits both; type checkers take the first.
@overload
def generative(  # type: ignore[overload-overlap]
    func: Callable[P, Coroutine[Any, Any, R]],
) -> AsyncGenerativeStub[P, R]: ...
@overload
def generative(func: Callable[P, R]) -> SyncGenerativeStub[P, R]: ...
def generative(func: Callable[..., Any]) -> GenerativeStub[..., Any]:
    """Make a function one whose body is a model.

    The model is told the signature and the docstring, which should say what the function
    does, and the arguments of the call; it answers in the form of the type that the function
    returns: text, numbers, ``bool``, ``Literal``, lists, mappings, dataclasses, attrs classes,
    pydantic models, and any of them or None. The function's own body is never run.

    It is called with a session, and returns the value, or with a context and a backend, and
    returns the value and the new context. The arguments of the function follow by name, and
    beside them may stand:

    - ``precondition_requirements``: what the arguments must be like; checked before the call.
    - ``requirements``: what the result must be like; told to the model, and checked if there is
      a strategy.
    - ``strategy``: how to get a result that meets them; it also repairs a reply that is not of
      the right type. Without one, such a reply is an error.
    - ``model_options``: options for this call, see `ModelOption`.

    Args:
        func: the function. An ``async def`` becomes one that is awaited.

    Raises:
        ValueError: a parameter has one of the names that calls need for themselves.
        TypeError: *func* is no function.
    """
    return AsyncGenerativeStub(func) if is_async(func) else SyncGenerativeStub(func)


def _listed(mine: Mapping[str, Any], name: str) -> Sequence[Any]:
    given = mine[name]
    if given is None:
        return ()
    # A string is a sequence of strings, too, and never meant as one.
    if isinstance(given, str | Requirement) or not isinstance(given, Sequence):
        raise TypeError(f"{name} should be a list, not {type(given).__name__}")
    return given


def _checking(strategy: SamplingStrategy, action: GenerativeCall[Any]) -> SamplingStrategy:
    """Return a strategy that checks the type, too, if it has requirements of its own."""
    own = getattr(strategy, "requirements", None)
    if own is None:
        return strategy
    strategy = copy.copy(strategy)
    strategy.requirements = action.checked_by(own)  # type: ignore[attr-defined]
    return strategy
