"""Strategies against the simulated server: what loses is stopped where it costs."""

import anyio
import pytest

import motet
from motet import Instruction, OllamaModelBackend, SimpleContext
from motet._language.requirement import Requirement
from motet._programs.checks import simple_validate
from motet._programs.sampling.run import begin_sampled, wait_sampled
from motet._programs.sampling.strategies import RejectionSamplingStrategy, RepairTemplateStrategy
from motet._programs.sampling.voting import MajorityVotingStrategy
from motet.testing.server import ModelServer, Reply, Stall, open_server

pytestmark = pytest.mark.anyio

GOOD = Requirement("be good", simple_validate(lambda text: text.startswith("good")))


def backend(server: ModelServer) -> OllamaModelBackend:
    return OllamaModelBackend(base_url=server.url)


async def test_the_first_success_leaves_no_request_at_the_server() -> None:
    async with open_server() as server:
        server.script([Stall(1), Reply("good"), Stall(1)])
        thunk = begin_sampled(
            backend(server),
            Instruction("go"),
            SimpleContext(),
            strategy=RejectionSamplingStrategy(concurrency_budget=3),
            requirements=[GOOD],
        )
        assert await thunk == "good"
        with anyio.fail_after(60):
            while server.serving:
                await anyio.lowlevel.checkpoint()
        assert len(server.replies) == 3


async def test_a_repair_and_a_judge_go_over_the_wire() -> None:
    async with open_server() as server:
        server.script([Reply("bad"), Reply("No."), Reply("good"), Reply("Yes.")])
        ctx = SimpleContext()
        thunk = begin_sampled(
            backend(server),
            Instruction("go", requirements=["be good"]),
            ctx,
            strategy=RepairTemplateStrategy(loop_budget=2),
            requirements=["be good"],
        )
        result = await wait_sampled(thunk, ctx)
        assert result.success
        assert [each.value for each in result.sample_generations] == ["bad", "good"]
        assert thunk.generation.usage
        assert thunk.raw.response is not None


async def test_a_vote_of_five_is_over_when_three_agree() -> None:
    async with open_server() as server:
        server.script([Reply("7"), Stall(0), Reply("7"), Reply("7"), Stall(0)])
        thunk = begin_sampled(
            backend(server),
            Instruction("how many?"),
            SimpleContext(),
            strategy=MajorityVotingStrategy(number_of_samples=5),
        )
        assert await thunk == "7"
        with anyio.fail_after(60):
            while server.serving:
                await anyio.lowlevel.checkpoint()


async def test_closing_the_session_that_owns_a_sampling_stops_its_attempts() -> None:
    async with open_server() as server:
        server.script([Stall(1)], repeat=True)
        async with motet.open_session(backend(server)) as session:
            thunk = begin_sampled(
                session.backend,
                Instruction("go"),
                session.ctx,
                strategy=RejectionSamplingStrategy(concurrency_budget=3),
                requirements=[GOOD],
                owner=session._owner(),
            )
            with anyio.fail_after(60):
                while server.serving < 3:
                    await anyio.lowlevel.checkpoint()
        with anyio.fail_after(60):
            while server.serving:
                await anyio.lowlevel.checkpoint()
        with pytest.raises(motet.GenerationCancelled):
            await thunk
