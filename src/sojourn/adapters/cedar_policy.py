"""Cedar behind the policy port: parse and validate once, then decide on slices, remembered.

A set is cut to what can match a principal, an action and a resource, by the heads of its
policies alone. A decision is remembered under everything the slice looks at, so the memory
needs no invalidation: another fact is another question. Evaluation errors skip a policy in
Cedar, so a `forbid` that errs would not forbid: here any error is a refusal.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import cedarpy
from cedarpy import pst

from sojourn.adapters.cedar_schema import NAMESPACE, schema_text
from sojourn.adapters.cedar_text import check_bounds
from sojourn.core.errors import Invalid
from sojourn.core.policy import Action, Party, Question, Value, Verdict
from sojourn.core.policy_facts import fits

MOST_REMEMBERED: Final = 50_000
"""Decisions, and slices; beyond it all are forgotten and made again."""

_ID: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_ANNOTATIONS: Final = frozenset({"id", "otherwise", "because"})
_WHOLE_CONTEXT: Final = "*"


@dataclass(frozen=True, slots=True)
class Slice:
    """The policies that can match one principal, action and resource."""

    policies: cedarpy.PolicySet
    reads: frozenset[str]  # facts of the context that they look at
    always: Verdict | None  # what they answer, if none of them has a condition


class CedarEngine:
    """Reads Cedar policies and holds them to our schema."""

    def __init__(self) -> None:
        self._schema = cedarpy.Schema.from_str(schema_text())

    def load(self, text: str, number: int) -> CedarPolicies:
        """The validated set.

        Raises:
            Invalid: code `bad_policy`.
        """
        check_bounds(text)
        try:
            tree = cedarpy.PolicySet.from_str(text).to_pst()
            result = cedarpy.validate_policies(text, self._schema)
        except (ValueError, RecursionError, UnicodeError) as error:
            raise Invalid("bad_policy", f"the text is not Cedar: {str(error)[:300]}") from error
        named = _named(tree)
        if not result.validation_passed:
            raise Invalid("bad_policy", _first_error(result))
        return CedarPolicies(number, named, self._schema)


def _named(tree: pst.PolicySet) -> dict[str, pst.Template]:
    """The policies under the ids that people gave them: positions shift when sets are merged."""
    if tree.templates or tree.template_links:
        raise Invalid("bad_policy", "templates with slots are not taken; write the policies out")
    named: dict[str, pst.Template] = {}
    for place, template in tree.static_policies.items():
        name = template.annotations.get("id", "")
        if not _ID.fullmatch(name):
            raise Invalid("bad_policy", f'{place}: expected `@id("…")` of lower-case letters, digits, `._-`')
        if name in named:
            raise Invalid("bad_policy", f"the id `{name}` is given twice")
        if odd := sorted(template.annotations.keys() - _ANNOTATIONS):
            raise Invalid("bad_policy", f"policy `{name}`: no annotation `@{odd[0][:40]}`")
        if template.annotations.get("otherwise", "suspend") not in ("suspend", "end"):
            raise Invalid("bad_policy", f'policy `{name}`: expected `@otherwise("suspend")` or `("end")`')
        named[name] = replace(template, id=name)
    return named


def _first_error(result: cedarpy.ValidationResult) -> str:
    if not result.errors:
        return "the policies do not fit the schema"
    first = result.errors[0]
    name = result.id_annotations_by_policy_id.get(first.policy_id, first.policy_id)
    return f"policy `{name}`: {first.error[:300]}"


class CedarPolicies:
    """A validated set (`ports.policy_engine.Policies`)."""

    def __init__(self, number: int, named: Mapping[str, pst.Template], schema: cedarpy.Schema) -> None:
        self._number = number
        self._named = named
        self._schema = schema
        everything = tuple(named.values())
        self._always = {action: self._of_everything(everything, action) for action in Action}
        self._whole = Slice(_set_of(everything), frozenset(), always=None)
        self._slices: dict[Hashable, Slice] = {}
        self._verdicts: dict[Hashable, Verdict] = {}
        self._parties: dict[Hashable, cedarpy.Entities] = {}

    @property
    def number(self) -> int:
        """The number of the set."""
        return self._number

    @property
    def names(self) -> tuple[str, ...]:
        """The ids of its policies."""
        return tuple(self._named)

    def templates(self) -> tuple[pst.Template, ...]:
        """The policies as trees, for those who look into them."""
        return tuple(self._named.values())

    def text_of(self, name: str) -> str:
        """The policy of that id, in Cedar's layout."""
        template = self._named.get(name)
        return str(_set_of((template,))) if template else ""

    def always(self, action: Action) -> Verdict | None:
        """The answer where every policy about `action` is about everybody and everything, unconditionally."""
        return self._always[action]

    def reads(self, question: Question) -> frozenset[str]:
        """The facts that the policies which might matter look at."""
        cut = self._slice(question)
        return frozenset(question.facts) if _WHOLE_CONTEXT in cut.reads else cut.reads

    def judge(self, question: Question) -> Verdict:
        """Answer; any error refuses."""
        if not fits(question):
            return Verdict(
                False, self._number, errors=("the question does not have the facts of its action",)
            )
        cut = self._slice(question)
        if cut.always is not None:
            return cut.always
        key = (_place(question), _members(question), _seen(question, cut))
        known = self._verdicts.get(key)
        if known is None:
            _bound(self._verdicts)
            known = self._verdicts[key] = self._evaluate(question, cut)
        return known

    def judge_whole(self, question: Question) -> Verdict:
        """As `judge`, over the whole set and without memory: what slices and memory must equal."""
        return self._evaluate(question, self._whole)

    def _slice(self, question: Question) -> Slice:
        place = _place(question)
        known = self._slices.get(place)
        if known is None:
            _bound(self._slices)
            chosen = tuple(t for t in self._named.values() if _may_match(t, question))
            reads = frozenset(name for template in chosen for name in reads_of(template))
            always = None if any(t.clauses for t in chosen) else self._with_fate(self._of_heads(chosen))
            known = self._slices[place] = Slice(_set_of(chosen), reads, always)
        return known

    def _of_everything(self, templates: tuple[pst.Template, ...], action: Action) -> Verdict | None:
        ours = tuple(template for template in templates if _action_fits(template.action, action))
        return self._with_fate(self._of_heads(ours)) if all(map(_is_boundless, ours)) else None

    def _of_heads(self, chosen: tuple[pst.Template, ...]) -> Verdict:
        """The answer when the heads alone decide."""
        forbids = tuple(sorted(t.id for t in chosen if t.effect == "forbid"))
        permits = tuple(sorted(t.id for t in chosen if t.effect == "permit"))
        return Verdict(bool(permits) and not forbids, self._number, forbids or permits)

    def _evaluate(self, question: Question, cut: Slice) -> Verdict:
        request = {
            "principal": _uid(question.who),
            "action": {"type": f"{NAMESPACE}::Action", "id": question.action.value},
            "resource": _uid(question.about),
            "context": _plain(question.facts),
        }
        try:
            answer = cedarpy.is_authorized(request, cut.policies, self._entities(question), self._schema)
        except (ValueError, TypeError, OverflowError, RecursionError, UnicodeError) as error:
            return Verdict(False, self._number, errors=(str(error)[:300],))
        found = answer.diagnostics
        names = tuple(sorted(found.reasons))
        if found.errors or answer.decision is cedarpy.Decision.NoDecision:
            errors = tuple(str(one)[:300] for one in found.errors) or ("no decision",)
            return Verdict(False, self._number, names, errors)
        return self._with_fate(Verdict(answer.allowed, self._number, names))

    def _entities(self, question: Question) -> cedarpy.Entities:
        key = (_place(question)[1:], _members(question))
        known = self._parties.get(key)
        if known is None:
            _bound(self._parties)
            text = json.dumps([_entity(question.who), _entity(question.about)])
            known = self._parties[key] = cedarpy.Entities.from_json_str(text)
        return known

    def _with_fate(self, verdict: Verdict) -> Verdict:
        """The verdict, saying whether all that forbade ask for suspension."""
        fates = {self._named[name].annotations.get("otherwise", "end") for name in verdict.policies}
        return replace(verdict, suspends=not verdict.allowed and fates == {"suspend"})


def reads_of(template: pst.Template) -> Iterator[str]:
    """The facts of the context that a policy looks at; `*` if it takes the context whole."""
    for clause in template.clauses:
        yield from _context_in(clause.expr)


def _context_in(node: Any) -> Iterator[str]:
    if isinstance(node, pst.GetAttr) and node.base == pst.Var("context"):
        yield node.attr
        return
    if isinstance(node, pst.Var):
        if node.name == "context":
            yield _WHOLE_CONTEXT
        return
    for child in children_of(node):
        yield from _context_in(child)


def children_of(node: Any) -> Iterator[Any]:
    """The nodes right below `node`."""
    for name in getattr(node, "__dataclass_fields__", ()):
        value = getattr(node, name)
        if isinstance(value, tuple):
            yield from value
        elif isinstance(value, Mapping):
            yield from value.values()
        else:
            yield value


def _may_match(template: pst.Template, question: Question) -> bool:
    return (
        _action_fits(template.action, question.action)
        and _party_fits(template.principal, question.who)
        and _party_fits(template.resource, question.about)
    )


def _action_fits(head: Any, action: Action) -> bool:
    match head:
        case pst.ActionEq(entity=entity):
            return bool(entity.id == action.value)
        case pst.ActionIn(entities=entities):
            return any(entity.id == action.value for entity in entities)
        case _:
            return True


def _is_boundless(template: pst.Template) -> bool:
    ends = (template.principal, template.resource)
    return not template.clauses and all(isinstance(end, pst.ScopeAny) for end in ends)


def _party_fits(head: Any, party: Party) -> bool:
    match head:
        # Nothing of ours stands in a hierarchy: to be in an entity is to be it.
        case pst.ScopeEq(entity=pst.EntityUid() as entity) | pst.ScopeIn(entity=pst.EntityUid() as entity):
            return entity.id == party.name and entity.type.basename == party.kind
        case pst.ScopeIs(entity_type=kind):
            return bool(kind.basename == party.kind)
        case pst.ScopeIsIn(entity_type=kind):
            return bool(kind.basename == party.kind)
        case _:
            return True


def _set_of(templates: tuple[pst.Template, ...]) -> cedarpy.PolicySet:
    tree = pst.PolicySet(templates={}, static_policies={t.id: t for t in templates}, template_links=())
    return cedarpy.PolicySet.from_pst(tree)


def _place(question: Question) -> tuple[str, ...]:
    who, about = question.who, question.about
    return (question.action.value, who.kind, who.name, about.kind, about.name)


def _members(question: Question) -> Hashable:
    return (tuple(question.who.members.items()), tuple(question.about.members.items()))


def _seen(question: Question, cut: Slice) -> Hashable:
    names = sorted(question.facts) if _WHOLE_CONTEXT in cut.reads else sorted(cut.reads)
    return tuple(question.facts.get(name) for name in names)


def _bound(memory: dict[Hashable, Any]) -> None:
    if len(memory) >= MOST_REMEMBERED:
        memory.clear()


def _uid(party: Party) -> dict[str, str]:
    return {"type": f"{NAMESPACE}::{party.kind}", "id": party.name}


def _entity(party: Party) -> dict[str, object]:
    return {"uid": _uid(party), "attrs": _plain(party.members), "parents": []}


def _plain(members: Mapping[str, Value]) -> dict[str, object]:
    return {name: sorted(one) if isinstance(one, frozenset) else one for name, one in members.items()}
