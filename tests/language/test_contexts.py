"""Contexts as values: the chain, reading it, branching and merging. No event loop."""

import copy
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from language.scripted import answer, arrive, lose, pending
from motet import CBlock, Context, ContextTurn, Instruction, Message, ModelOutputThunk
from motet._language.chat_context import ChatContext
from motet._language.compaction import InlineCompactor
from motet._language.context import SimpleContext
from motet._values.model_ids import IBM_GRANITE_4_1_3B

KINDS: list[Any] = [SimpleContext, ChatContext]


def chat(*entries: Any, **options: Any) -> ChatContext:
    ctx = ChatContext(**options)
    for entry in entries:
        ctx = ctx.add(entry)
    return ctx


# The chain.


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_context_is_an_empty_root(kind: Any) -> None:
    ctx = kind()
    assert ctx.is_root_node
    assert ctx.previous_node is None
    assert ctx.node_data is None
    assert ctx.as_list() == ctx.view_for_generation() == ctx.actions_for_available_tools() == []
    assert ctx.last_output() is None
    assert ctx.last_turn() is None
    assert ctx.awaited() == []
    assert not ctx.previous_turn_is_pending()


@pytest.mark.parametrize("kind", KINDS)
def test_adding_leaves_the_context_as_it_was(kind: Any) -> None:
    empty = kind()
    said, replied = Message("user", "a"), answer("b")
    one = empty.add(said)
    two = one.add(replied)
    assert (empty.as_list(), one.as_list(), two.as_list()) == ([], [said], [said, replied])
    assert two.previous_node is one
    assert one.previous_node is empty
    assert two.node_data is replied
    assert not two.is_root_node


@pytest.mark.parametrize("name", ["is_root_node", "previous_node", "node_data", "model_id"])
def test_what_a_context_shows_cannot_be_assigned(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(ChatContext(), name, None)


def test_a_context_goes_on_from_one_of_another_kind() -> None:
    simple = SimpleContext().add("a")
    ctx = ChatContext.from_previous(simple, "b")
    assert isinstance(ctx, ChatContext)
    assert ctx.previous_node is simple
    assert ctx.as_list() == ctx.view_for_generation() == ["a", "b"]
    assert ctx.merge(simple.add("c")).as_list() == ["a", "b", "c"]


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", ["list"], {"a": 1}, object(), Message])
def test_an_entry_that_cannot_be_said_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match="an entry of a context should be"):
        ChatContext().add(wrong)


def test_a_previous_that_is_no_context_is_refused() -> None:
    with pytest.raises(TypeError, match="previous should be a Context, not list"):
        ChatContext.from_previous([], "a")  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("entry", ["text", CBlock("block"), Message("user", "x"), answer("y")])
def test_an_entry_is_kept_as_it_is(entry: Any) -> None:
    assert ChatContext().add(entry).node_data is entry


def test_a_context_without_a_view_says_so() -> None:
    with pytest.raises(NotImplementedError, match="Context does not say"):
        Context().view_for_generation()


def test_a_subclass_keeps_what_its_constructor_sets() -> None:
    class Tagged(Context):
        def __init__(self, tag: str) -> None:
            super().__init__()
            self.tag = tag

        def view_for_generation(self) -> list[Any] | None:
            return None

    ctx = Tagged("t").add("a").add("b")
    assert ctx.tag == ctx.new_instance().tag == ctx.with_entries(["b"]).tag == "t"
    assert ctx.branch().merge(ctx.add("c")).tag == "t"
    assert ctx.awaited() == []
    assert ctx.actions_for_available_tools() is None


@pytest.mark.parametrize("how", [copy.copy, copy.deepcopy])
def test_a_copy_of_a_context_is_the_context(how: Any) -> None:
    ctx = chat("a", pending())
    assert how(ctx) is ctx


@pytest.mark.parametrize(
    ("ctx", "text"),
    [
        (ChatContext(), "<ChatContext with 0 entries>"),
        (chat("a"), "<ChatContext with 1 entry>"),
        (chat("a", pending()), "<ChatContext with 2 entries, 1 pending>"),
        (chat("a", window_size=3), "<ChatContext with 1 entry, WindowCompactor(size=3)>"),
        (SimpleContext().add("a").add(answer("b")), "<SimpleContext with 2 entries>"),
    ],
)
def test_the_repr_counts_and_never_waits(ctx: Context, text: str) -> None:
    assert repr(ctx) == text


# Reading.


def test_the_last_entries_are_counted_from_the_end() -> None:
    ctx = chat("a", "b", "c")
    assert ctx.as_list(2) == ["b", "c"]
    assert ctx.as_list(0) == []
    assert ctx.as_list(9) == ["a", "b", "c"]


@pytest.mark.parametrize(("wrong", "error"), [(-1, ValueError), ("1", TypeError), (1.0, TypeError)])
def test_a_wrong_number_of_entries_is_refused(wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="last_n_components"):
        chat("a").as_list(wrong)


def test_the_last_output_is_looked_for_among_the_last_three() -> None:
    reply = answer("r")
    assert chat("a", reply).last_output() is reply
    assert chat("a", reply, "b", "c").last_output() is reply
    assert chat("a", reply, "b", "c", "d").last_output() is None
    assert chat("a", reply, "b", "c", "d").last_output(4) is reply
    assert chat("a", on_its_way := pending()).last_output() is on_its_way


def test_the_last_turn_may_lack_either_half() -> None:
    reply = answer("r")
    assert chat("a").last_turn() == ContextTurn("a", None)
    assert chat("a", reply).last_turn() == ContextTurn("a", reply)
    assert chat(reply).last_turn() == ContextTurn(None, reply)
    assert chat("a", reply, "b").last_turn() == ContextTurn("b", None)


def test_a_lost_turn_is_both_of_its_entries() -> None:
    lost = pending()
    ctx = chat("a", answer("1"), "b", lost, "c")
    assert len(ctx.as_list()) == 5
    lose(lost)
    assert [str(each) for each in ctx.as_list()] == ["a", "1", "c"]
    assert ctx.view_for_generation() == ctx.as_list()
    assert [str(each) for each in ctx.as_list(2)] == ["1", "c"]


def test_a_lost_first_turn_leaves_nothing() -> None:
    lost = pending()
    ctx = chat("a", lost)
    lose(lost)
    assert ctx.as_list() == []
    assert ctx.last_turn() is None
    assert ctx.last_output() is None


def test_a_lost_answer_to_an_answer_leaves_that_in_its_first_place() -> None:
    first, lost = answer("1"), pending()
    lost.action = first
    ctx = chat("a", first, first, lost)
    lose(lost)
    assert ctx.as_list() == ["a", first]


def test_a_lost_answer_without_a_question_leaves_the_answer_before_it() -> None:
    first, lost = answer("1"), pending()
    lost.action = Instruction("elsewhere")
    ctx = chat("a", first, lost)
    lose(lost)
    assert ctx.as_list() == ["a", first]


def test_the_same_object_may_be_said_twice() -> None:
    message = Message("user", "again")
    ctx = chat(message, answer("1"), message, lost := pending())
    assert ctx.as_list().count(message) == 2
    lose(lost)
    assert ctx.as_list().count(message) == 1
    assert ctx.as_list()[0] is message


# What a prompt waits for.


def test_pending_answers_are_awaited_oldest_first_and_once() -> None:
    first, second = pending(), pending()
    ctx = chat("a", first, "b", second, second)
    assert ctx.awaited() == [first, second]
    arrive(first)
    assert ctx.awaited() == [second]
    arrive(second)
    assert ctx.awaited() == []
    assert ctx.add("c").awaited() == []


def test_pending_parts_of_what_nobody_answers_are_awaited() -> None:
    part = pending()
    said = Instruction("x", grounding_context={"part": part})
    assert chat(said).awaited() == [part]
    answered = pending()
    assert chat(said, answered).awaited() == [answered]


def test_a_simple_context_awaits_nothing() -> None:
    assert SimpleContext().add("a").add(pending()).awaited() == []


def test_a_context_of_ones_own_awaits_what_its_view_shows() -> None:
    class Newest(Context):
        def view_for_generation(self) -> list[Any]:
            return self.as_list(1)

    older, newer = pending(), pending()
    assert Newest().add(older).add(newer).awaited() == [newer]


def test_only_a_conversation_has_a_previous_turn_that_is_pending() -> None:
    on_its_way = pending()
    assert chat("a", on_its_way).previous_turn_is_pending()
    assert not chat("a", on_its_way, "b").previous_turn_is_pending()
    assert not SimpleContext().add("a").add(on_its_way).previous_turn_is_pending()
    ctx = chat("a", on_its_way)
    arrive(on_its_way)
    assert not ctx.previous_turn_is_pending()


# The simple context.


def test_a_simple_context_shows_a_model_nothing() -> None:
    ctx = SimpleContext().add("a").add(answer("b"))
    assert ctx.view_for_generation() == []
    assert len(ctx.as_list()) == 2
    assert not ctx.is_chat_context


def test_a_simple_context_keeps_the_newest_entries() -> None:
    ctx = SimpleContext(keep=3)
    for number in range(50):
        ctx = ctx.add(str(number))
    assert ctx.as_list() == ["47", "48", "49"]
    assert ctx.as_list(2) == ["48", "49"]
    assert ctx.new_instance().keep == 3
    assert SimpleContext().keep == SimpleContext.reset_to_new().keep == 1000


@pytest.mark.parametrize("ctx", [SimpleContext(keep=10), ChatContext(window_size=10)], ids=repr)
def test_what_is_not_kept_is_let_go(ctx: Any) -> None:
    refs = []
    thunk: Any = None
    for number in range(500):
        thunk = answer("x")
        ctx = ctx.add(str(number))
        thunk.action, thunk.context = ctx.node_data, ctx
        ctx = ctx.add(thunk)
        refs.append(weakref.ref(thunk))
    thunk = None
    gc.collect()
    assert len([ref for ref in refs if ref() is not None]) <= 10


def test_turns_that_fail_for_ever_are_let_go() -> None:
    ctx: Any = ChatContext().add("hello").add(answer("hi"))
    refs = []
    for number in range(500):
        thunk = pending()
        ctx = ctx.add(str(number)).add(thunk)
        lose(thunk)
        refs.append(weakref.ref(thunk))
    assert ctx.as_list()[0] == "hello"
    assert len(ctx.as_list()) == 2
    gc.collect()
    assert len([ref for ref in refs if ref() is not None]) <= 50


@pytest.mark.parametrize(("keep", "error"), [(0, ValueError), ("3", TypeError), (True, TypeError)])
def test_a_wrong_number_to_keep_is_refused(keep: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="keep should be"):
        SimpleContext(keep=keep)


# The chat context.


def test_a_chat_context_shows_everything() -> None:
    ctx = chat("a", answer("b"))
    assert ctx.view_for_generation() == ctx.as_list() == ctx.actions_for_available_tools()
    assert ctx.is_chat_context


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"window_size": -1}, ValueError, "window_size should be at least 0"),
        ({"window_size": "3"}, TypeError, "window_size should be a whole number"),
        ({"window_size": True}, TypeError, "window_size should be a whole number"),
        ({"token_context_length_limit": 0}, ValueError, "token_context_length_limit should be"),
        ({"token_context_length_limit": 1.5}, TypeError, "token_context_length_limit should be"),
        ({"model_id": 3}, TypeError, "model_id should be"),
        ({"compactor": object()}, TypeError, "compactor of a ChatContext .* not object"),
        ({"compactor": InlineCompactor}, TypeError, "compactor of a ChatContext"),
    ],
)
def test_a_wrong_argument_is_named(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ChatContext(**arguments)


def test_the_arguments_are_keywords() -> None:
    with pytest.raises(TypeError, match="positional"):
        ChatContext(None)  # type: ignore[call-arg]  # the point of the test


def test_the_settings_go_along_and_a_reset_class_forgets_them() -> None:
    ctx = ChatContext(window_size=2, model_id="m", token_context_length_limit=100)
    for later in (ctx.add("a"), ctx.add("a").new_instance(), ctx.branch()):
        assert later.model_id == "m"
        assert repr(later).endswith("WindowCompactor(size=2)>")
    assert ChatContext.reset_to_new().model_id is None


def test_an_empty_context_without_a_model_is_bound_to_one() -> None:
    ctx = ChatContext(window_size=2)
    bound = ctx.bound_to("m")
    assert bound is not ctx
    assert (ctx.model_id, bound.model_id) == (None, "m")
    assert bound.bound_to("other") is bound
    assert ctx.bound_to(None) is ctx
    used = ctx.add("a")
    assert used.bound_to("m") is used
    simple = SimpleContext()
    assert simple.bound_to("m") is simple


def test_what_is_bound_can_still_be_merged() -> None:
    ctx = ChatContext()
    assert ctx.bound_to("m").add("a").merge(ctx.add("b")).as_list() == ["a", "b"]


def test_the_token_limit_leaves_the_newest() -> None:
    # Each takes 4 characters a token, and three quarters of the limit may be taken.
    ctx = chat("a" * 40, "b" * 40, "c" * 40, token_context_length_limit=27)
    assert ctx.view_for_generation() == ["b" * 40, "c" * 40]
    ctx = chat("a" * 40, "b" * 40, "c" * 40, token_context_length_limit=26)
    assert ctx.view_for_generation() == ["c" * 40]
    assert len(ctx.as_list()) == 3


def test_every_entry_takes_a_token_at_least() -> None:
    ctx = chat(*"abcdef", token_context_length_limit=4)
    assert ctx.view_for_generation() == ["d", "e", "f"]


def test_an_entry_that_does_not_fit_ends_the_view() -> None:
    ctx = chat("a", "b" * 400, "c", token_context_length_limit=20)
    assert ctx.view_for_generation() == ["c"]


def test_an_entry_is_weighed_as_the_model_is_told_it() -> None:
    long = Instruction("x", grounding_context={"text": "y" * 400})
    assert chat(long, "z", token_context_length_limit=50).view_for_generation() == ["z"]


def test_a_model_that_is_known_sets_the_limit() -> None:
    length = IBM_GRANITE_4_1_3B.context_length
    assert length is not None
    long = "x" * (4 * length)
    assert chat(long, "z", model_id=IBM_GRANITE_4_1_3B).view_for_generation() == ["z"]
    assert chat(long, "z", model_id="granite4.1:3b").view_for_generation() == ["z"]
    assert len(chat(long, "z", model_id="never heard of").view_for_generation()) == 2
    explicit = chat(long, "z", model_id="granite4.1:3b", token_context_length_limit=10 * length)
    assert len(explicit.view_for_generation()) == 2


def test_a_pending_entry_takes_one_token_until_it_has_arrived() -> None:
    on_its_way = pending()
    ctx = chat("a", on_its_way, "b", token_context_length_limit=4)
    assert ctx.view_for_generation() == ["a", on_its_way, "b"]
    arrive(on_its_way, "long" * 100)
    assert ctx.view_for_generation() == ["b"]
    part = pending()
    said = Instruction("x", grounding_context={"part": part})
    assert chat(said, token_context_length_limit=2).view_for_generation() == [said]


def test_an_entry_with_a_failed_part_can_be_viewed() -> None:
    part = pending()
    said = Instruction("x", grounding_context={"part": part})
    lose(part)
    assert chat(said, token_context_length_limit=2).view_for_generation() == [said]


def test_an_entry_without_a_template_is_weighed_as_str_shows_it() -> None:
    class Odd(Instruction):
        def format_for_llm(self) -> Any:
            representation = super().format_for_llm()
            representation.template_order = ["Nowhere"]
            return representation

        def __str__(self) -> str:
            return "x" * 40

    odd = Odd("x")
    assert chat(odd, token_context_length_limit=14).view_for_generation() == [odd]
    assert chat(odd, token_context_length_limit=13).view_for_generation() == []


def test_an_entry_is_put_into_words_once_for_counting() -> None:
    class Counted(Instruction):
        said = 0

        def format_for_llm(self) -> Any:
            type(self).said += 1
            return super().format_for_llm()

    ctx = chat(Counted("x"), token_context_length_limit=1000, window_size=100)
    for _ in range(5):
        ctx = ctx.add("more")
        ctx.view_for_generation()
    ctx.with_entries(ctx.entries()).view_for_generation()
    assert Counted.said == 1


def test_counting_learns_nothing_behind_a_consumers_back() -> None:
    thunk = pending()
    arrive(thunk)
    chat("a", thunk, token_context_length_limit=100).view_for_generation()
    assert not thunk.is_computed()


def test_a_view_of_a_limited_conversation_looks_at_no_more_than_it_shows() -> None:
    class Unsayable(Instruction):
        def format_for_llm(self) -> Any:
            raise AssertionError

    ctx = chat(Unsayable("old"), *"abcdef", token_context_length_limit=4)
    assert ctx.view_for_generation() == ["d", "e", "f"]


@pytest.mark.parametrize("kind", KINDS)
def test_ten_thousand_turns_are_no_trouble(kind: Any) -> None:
    ctx = kind()
    fork = None
    for number in range(10_000):
        ctx = ctx.add("x").add(answer("y"))
        if number == 9_000:
            fork = ctx.branch()
            ctx = fork
    assert fork is not None
    assert len(ctx.as_list()) == min(20_000, getattr(ctx, "keep", 20_000))
    assert copy.deepcopy(ctx) is ctx
    assert ctx.merge(fork.add("z")).as_list(1) == ["z"]
    repr(ctx)
    ctx.awaited()
    del ctx, fork
    gc.collect()


# Branching and merging.


def test_a_merge_appends_what_the_other_has_beyond_the_fork() -> None:
    fork = chat("a", "b").branch()
    left, right = fork.add("l1").add("l2"), fork.add("r1").add("r2")
    assert left.merge(right).as_list() == ["a", "b", "l1", "l2", "r1", "r2"]
    assert right.merge(left).as_list() == ["a", "b", "r1", "r2", "l1", "l2"]
    assert (left.as_list(), right.as_list()) == (["a", "b", "l1", "l2"], ["a", "b", "r1", "r2"])


def test_a_branch_is_the_same_conversation_in_another_object() -> None:
    ctx = chat("a")
    fork = ctx.branch()
    assert fork is not ctx
    assert fork.as_list() == ctx.as_list()
    assert fork.node_data is ctx.node_data
    assert fork.previous_node is ctx.previous_node


def test_conversations_may_fork_from_an_empty_context() -> None:
    ctx = ChatContext()
    assert ctx.add("a").merge(ctx.add("b")).as_list() == ["a", "b"]
    assert ctx.merge(ctx.add("b")).as_list() == ["b"]


def test_merging_the_same_turns_again_adds_nothing() -> None:
    fork = chat("a").branch()
    left, right = fork.add("l"), fork.add("r")
    merged = left.merge(right)
    assert merged.merge(right).as_list() == merged.as_list()
    assert merged.merge(left) is merged
    assert merged.merge(merged) is merged
    assert merged.merge(right.add("r2")).as_list() == ["a", "l", "r", "r2"]


def test_a_turn_that_came_by_another_way_is_added_once_and_none_is_lost() -> None:
    fork = chat("a").branch()
    first, second, third = fork.add("1"), fork.add("2"), fork.add("3")
    assert first.merge(third).merge(second.merge(third)).as_list() == ["a", "1", "3", "2"]
    assert third.merge(second.merge(third)).as_list() == ["a", "3", "2"]


def test_the_same_words_said_on_both_sides_are_two_turns() -> None:
    message = Message("user", "same")
    fork = chat("a").branch()
    assert fork.add(message).merge(fork.add(message)).as_list() == ["a", message, message]


def test_pending_turns_come_along_and_lost_ones_do_not_show() -> None:
    fork = chat("a").branch()
    on_its_way, lost = pending(), pending()
    merged = fork.add("l").merge(fork.add("r").add(on_its_way).add("q").add(lost))
    assert merged.as_list() == ["a", "l", "r", on_its_way, "q", lost]
    assert merged.awaited() == [on_its_way, lost]
    lose(lost)
    assert merged.as_list() == ["a", "l", "r", on_its_way]


def test_contexts_without_a_common_ancestor_are_refused() -> None:
    with pytest.raises(ValueError, match="no common ancestor"):
        chat("a").merge(chat("a"))
    with pytest.raises(ValueError, match="no common ancestor"):
        chat("a").merge(chat("a").new_instance())


@pytest.mark.parametrize("wrong", [None, [], "ctx", ChatContext])
def test_only_a_context_can_be_merged(wrong: Any) -> None:
    with pytest.raises(TypeError, match="other should be a Context, not"):
        ChatContext().merge(wrong)


def test_a_named_fork_outlives_the_entries_of_both_sides() -> None:
    fork = chat(*"abcd", window_size=4).branch()
    left, right = fork, fork
    for number in range(9):
        left, right = left.add(f"l{number}"), right.add(f"r{number}")
    assert left.merge(right).as_list() == ["r5", "r6", "r7", "r8"]
    short = fork.add("s1")
    assert left.merge(short).as_list() == ["l6", "l7", "l8", "s1"]
    assert short.merge(left).as_list() == ["l5", "l6", "l7", "l8"]


def test_an_unnamed_fork_that_compaction_dropped_is_refused() -> None:
    ctx = chat(*"abcd", window_size=4)
    left, right = ctx.add("l"), ctx.add("r")
    assert left.merge(right).as_list() == ["c", "d", "l", "r"]
    for number in range(9):
        left = left.add(f"l{number}")
    with pytest.raises(ValueError, match=r"call branch\(\)"):
        left.merge(right)


def test_what_was_summarised_can_be_merged_with_what_was_said_meanwhile() -> None:
    ctx = chat(*"abcd")
    short = ctx.with_entries(["summary"])
    assert short.merge(ctx.add("e")).as_list() == ["summary", "e"]
    kept = ctx.with_entries(["summary", "d"])
    assert kept.as_list() == ["summary", "d"]
    assert kept.merge(ctx.add("e").add("f")).as_list() == ["summary", "d", "e", "f"]


def test_a_simple_context_merges_within_its_bound() -> None:
    fork = SimpleContext(keep=3).add("a").branch()
    left, right = fork.add("l1").add("l2"), fork.add("r1").add("r2").add("r3").add("r4")
    assert left.merge(right).as_list() == ["r2", "r3", "r4"]


def test_entries_that_stay_are_the_same_entries() -> None:
    message = Message("user", "twice")
    ctx = chat(message, answer("1"), message, lost := pending())
    entries = ctx.entries()
    shorter = ctx.with_entries(entries[2:])
    assert shorter.entries() == entries[2:]
    lose(lost)
    assert shorter.as_list() == []
    assert ctx.with_entries([]).as_list() == []
    with pytest.raises(TypeError, match="an entry of a context should be"):
        ctx.with_entries([3])


class Conversations(RuleBasedStateMachine):
    """Contexts against lists: each is what it was made of, for ever."""

    contexts = Bundle("contexts")

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[Any, list[Any]]] = []
        self.replies: list[ModelOutputThunk[Any]] = []
        self.said = 0

    def note(self, ctx: Any, entries: list[Any]) -> tuple[Any, list[Any]]:
        self.seen.append((ctx, entries))
        return ctx, entries

    @rule(target=contexts, kind=st.sampled_from(KINDS))
    def begin(self, kind: Any) -> Any:
        return self.note(kind(), [])

    @rule(target=contexts, start=contexts)
    def say(self, start: Any) -> Any:
        ctx, entries = start
        self.said += 1
        # Each one once, so that a list can tell what is where.
        words = CBlock(str(self.said))
        return self.note(ctx.add(words), [*entries, words])

    @rule(target=contexts, start=contexts)
    def turn(self, start: Any) -> Any:
        ctx, entries = start
        self.said += 1
        words, reply = CBlock(str(self.said)), pending()
        self.replies.append(reply)
        return self.note(ctx.add(words).add(reply), [*entries, words, reply])

    @rule(target=contexts, start=contexts)
    def fork(self, start: Any) -> Any:
        ctx, entries = start
        return self.note(ctx.branch(), entries)

    @rule(target=contexts, one=contexts, two=contexts)
    def merge(self, one: Any, two: Any) -> Any:
        (left, mine), (right, others) = one, two
        if left._root()._place != right._root()._place:
            with pytest.raises(ValueError, match="no common ancestor"):
                left.merge(right)
            return multiple()
        new = [entry for entry in others if entry not in mine]
        return self.note(left.merge(right), [*mine, *new])

    @rule(start=contexts, data=st.data(), target=contexts)
    def shorten(self, start: Any, data: Any) -> Any:
        ctx, _ = start
        shown = ctx.as_list()
        kept = [entry for entry in shown if data.draw(st.booleans())]
        assert ctx.with_entries(kept).as_list() == kept
        return multiple()

    @rule(data=st.data(), well=st.booleans())
    def end(self, data: Any, well: bool) -> None:
        live = [reply for reply in self.replies if not reply.is_settled()]
        if live:
            (arrive if well else lose)(data.draw(st.sampled_from(live)))

    @invariant()
    def each_is_what_it_was_made_of(self) -> None:
        for ctx, entries in self.seen:
            lost = {
                index
                for index, entry in enumerate(entries)
                if isinstance(entry, ModelOutputThunk) and entry.is_lost()
            }
            shown = [
                entry
                for index, entry in enumerate(entries)
                if index not in lost and index + 1 not in lost
            ]
            assert ctx.as_list() == shown
            assert ctx.as_list(3) == shown[-3:]
            if isinstance(ctx, ChatContext):
                assert ctx.view_for_generation() == shown
                assert ctx.awaited() == [
                    entry
                    for entry in shown
                    if isinstance(entry, ModelOutputThunk) and not entry.is_settled()
                ]


Conversations.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestConversations = Conversations.TestCase


@settings(deadline=None, max_examples=60)
@given(
    size=st.integers(0, 5),
    before=st.integers(0, 8),
    left=st.integers(0, 8),
    right=st.integers(0, 8),
)
def test_a_window_of_a_merge_is_the_window_of_everything(
    size: int, before: int, left: int, right: int
) -> None:
    fork = chat(*(f"b{n}" for n in range(before)), window_size=size).branch()
    mine, others = fork, fork
    for number in range(left):
        mine = mine.add(f"l{number}")
    for number in range(right):
        others = others.add(f"r{number}")
    everything = [*mine.as_list(), *(f"r{n}" for n in range(right))]
    assert mine.merge(others).as_list() == (everything[-size:] if size else [])
