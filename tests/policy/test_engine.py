"""The engine: what it refuses to load, what it decides, and that no text can stop the process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from dataclasses import replace
from typing import Final

import pytest

from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.core.errors import Invalid
from sojourn.core.policy import DEFAULT, MOST_BYTES, Action, Party, Question, Verdict
from tests.architecture.tree import ROOT
from tests.policy import naive
from tests.policy.random_policies import a_question, a_set

ENGINE: Final = CedarEngine()
QUESTION: Final = Question(
    Action.USE,
    Party("Workload", "ci", {"name": "ci", "attestor": "private_key_jwt"}),
    Party("Charter", "demo", {"name": "demo", "version": 1, "owner": "ops", "break_glass": False}),
    {
        "task_ref": "1", "grants": frozenset({"g"}), "targets": frozenset(), "audiences": frozenset({"https://a"}),
        "actions": frozenset({"read"}), "attested": frozenset(), "phase": "", "age_s": 5, "generation": 1,
        "renewals_left": 0, "drift": 0, "audience": "https://a", "action": "read",
    },
)  # fmt: skip
ALL: Final = '@id("all") permit (principal, action, resource);\n'


def test_what_is_shipped_permits_every_question() -> None:
    policies = ENGINE.load(DEFAULT, 0)

    for action in Action:
        always = policies.always(action)
        assert always is not None and always.allowed
    assert policies.judge(QUESTION).allowed


@pytest.mark.parametrize(
    ("effect", "head", "always"),
    [
        ("permit", "principal, action, resource", True),
        ("forbid", "principal, action, resource", False),
        ("forbid", 'principal, action == Sojourn::Action::"use", resource', False),
        ("forbid", 'principal, action == Sojourn::Action::"open", resource', True),
        ("forbid", "principal is Sojourn::Operator, action, resource", None),
        ("forbid", 'principal, action, resource == Sojourn::Charter::"demo"', None),
        ("permit", "principal, action, resource) when { true }; //", None),
    ],
)
def test_an_answer_is_always_the_same_where_no_policy_looks_at_anything(
    effect: str, head: str, *, always: bool | None
) -> None:
    found = ENGINE.load(f'{ALL}@id("x") {effect} ({head});\n', 1).always(Action.USE)

    assert (None if found is None else found.allowed) == always


def test_without_a_policy_everything_is_always_refused() -> None:
    assert ENGINE.load('@id("x") permit (principal, action == Sojourn::Action::"open", resource);', 1).always(
        Action.USE
    ) == Verdict(allowed=False, number=1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", None),
        ("permit (", "not Cedar"),
        ("permit (principal, action, resource);", "@id"),
        ('@id("A b") permit (principal, action, resource);', "@id"),
        (ALL + ALL, "twice"),
        ('@id("x") @color("red") permit (principal, action, resource);', "no annotation"),
        ('@id("x") @otherwise("explode") forbid (principal, action, resource);', "otherwise"),
        ('@id("x") permit (principal == ?principal, action, resource);', "templates"),
        ('@id("x") permit (principal, action, resource) when { context.mood == "good" };', "`x`"),
        ('@id("x") permit (principal == Sojourn::User::"a", action, resource);', "`x`"),
        ('@id("x") permit (principal, action == Sojourn::Action::"fly", resource);', "`x`"),
        (f'@id("x") permit (principal, action, resource); // {"x" * MOST_BYTES}', "bytes"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(text: str, says: str | None) -> None:
    if says is None:
        assert not ENGINE.load(text, 1).judge(QUESTION).allowed
        return

    with pytest.raises(Invalid) as refusal:
        ENGINE.load(text, 1)

    assert refusal.value.code == "bad_policy"
    assert says in refusal.value.message


def test_a_forbid_that_errs_refuses() -> None:
    overflow = f"context.age_s * {2**62} * 8 > 0"
    text = ALL + (
        f'@id("x") forbid (principal, action == Sojourn::Action::"use", resource) when {{ {overflow} }};'
    )

    verdict = ENGINE.load(text, 1).judge(QUESTION)

    assert not verdict.allowed
    assert verdict.errors
    assert not verdict.forbidden


@pytest.mark.parametrize("missing", ["age_s", "phase"])
def test_a_question_without_one_of_its_facts_is_refused(missing: str) -> None:
    facts = {name: value for name, value in QUESTION.facts.items() if name != missing}

    verdict = ENGINE.load(DEFAULT, 0).judge(replace(QUESTION, facts=facts))

    assert not verdict.allowed
    assert verdict.errors


def test_a_name_with_odd_characters_is_only_a_name() -> None:
    text = ALL + '@id("x") forbid (principal == Sojourn::Workload::"ci", action, resource);'
    policies = ENGINE.load(text, 1)
    odd = 'ci", action, resource); permit (principal\n\x00'

    assert not policies.judge(QUESTION).allowed
    assert policies.judge(replace(QUESTION, who=replace(QUESTION.who, name=odd))).allowed


def test_the_policies_that_forbade_say_whether_it_is_only_for_now() -> None:
    pause = '@id("p") @otherwise("suspend") forbid (principal, action == Sojourn::Action::"use", resource);'
    stop = (
        '@id("s") forbid (principal, action == Sojourn::Action::"use", resource) when { context.age_s > 9 };'
    )
    policies = ENGINE.load(ALL + pause + stop, 1)

    early = policies.judge(replace(QUESTION, facts={**QUESTION.facts, "age_s": 9}))
    late = policies.judge(replace(QUESTION, facts={**QUESTION.facts, "age_s": 10}))

    assert (early.policies, early.suspends) == (("p",), True)
    assert (late.policies, late.suspends) == (("p", "s"), False)


def test_twenty_thousand_decisions_agree_with_a_naive_evaluator() -> None:
    erred, allowed, refused = agree(seed=1, sets=200, questions=100)

    assert erred > 100 and allowed > 2000 and refused > 2000


@pytest.mark.slow
def test_a_million_decisions_agree_with_a_naive_evaluator() -> None:
    agree(seed=int(os.environ.get("SEED", "2")), sets=5000, questions=200)


def agree(*, seed: int, sets: int, questions: int) -> tuple[int, int, int]:
    """Slices, memory, the whole set and the naive evaluator say the same; counts of what was said."""
    chosen = random.Random(seed)
    erred = allowed = refused = 0
    for number in range(sets):
        text = a_set(chosen)
        policies = ENGINE.load(text, number)
        for turn in range(questions):
            question = a_question(chosen)
            verdict = policies.judge(question)
            expected = naive.judge(policies.templates(), question)

            told = (verdict.allowed, bool(verdict.errors))
            assert told == (expected[0], expected[2]), f"seed {seed}: {question}\n{text}"
            if not verdict.errors:
                assert verdict.policies == expected[1], f"seed {seed}: {question}\n{text}"
                assert policies.always(question.action) in (None, verdict), f"seed {seed}: {question}\n{text}"
            if turn % 10 == 0:
                assert policies.judge_whole(question) == verdict, f"seed {seed}"
            erred, allowed = erred + bool(verdict.errors), allowed + verdict.allowed
            refused += not verdict.allowed
    return erred, allowed, refused


FUZZ: Final = """
import random, sys
from sojourn.adapters.cedar_policy import CedarEngine
from sojourn.core.errors import Invalid
engine, chosen, loaded = CedarEngine(), random.Random(int(sys.argv[1])), 0
head = '@id("a") permit (principal, action, resource) when { '
deep = ["(", "[", "{a:", "!", "-", "if true then ", "true && ", "1 + ", "context.a.", 'decimal("1").',
        "context[\\"a\\"]", '"', "\\\\", "//", ";", "\\x00", "\\ud800", "}", ")", "]", " else ", "==", "@id"]
for turn in range(int(sys.argv[2])):
    if turn % 3:
        text = head + "".join(chosen.choice(deep) * chosen.choice((1, 2, 3000)) for _ in range(6)) + "true };"
    else:
        text = "".join(chr(chosen.randrange(chosen.choice((32, 127, 1 << 20)))) for _ in range(60))
    try:
        engine.load(text, 1)
        loaded += 1
    except Invalid as error:
        assert error.code == "bad_policy", error
print("survived", loaded)
"""


def test_no_text_stops_the_process() -> None:
    # In a process of its own: an engine that overflows its stack takes the process with it.
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, "7", "3000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (done.returncode, done.stdout.split()[:1]) == (0, ["survived"]), done.stderr[-2000:]
