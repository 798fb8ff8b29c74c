"""The provider for a described API: each verb of the port is one of its calls.

Where the API honours for a while what it deleted (class C), the credential's own expiry is the
end that is named; where a probe is described, that is asked as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final

from sojourn.core.errors import Invalid, TargetError
from sojourn.core.secret import Secret
from sojourn.core.window import show
from sojourn.ports.clock import WallClock
from sojourn.ports.provider import (
    Check,
    Found,
    Intent,
    Issued,
    Lasting,
    Observation,
    Presence,
    Ref,
    RevocationClass,
)
from sojourn.providers._canary import Canary
from sojourn.providers._http import Answer, HttpApi, expect, refused, require_time, within
from sojourn.providers.generic_http import description as described
from sojourn.providers.generic_http.templating import (
    Values,
    fill_header,
    fill_json,
    fill_path,
    fill_text,
    find,
    names_in,
)

METHOD_SECONDS: Final = 9.0
PROBES: Final = 3
_MOST_FOUND: Final = 10_000


class GenericHttp:
    """Makes and takes away credentials by the calls of a description."""

    def __init__(
        self,
        api: described.Description,
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> None:
        self._api = api
        self._templates = templates
        self._secret = secret
        self._clock = clock
        self._http = HttpApi(api.base, ca_file=api.ca_file)

    @classmethod
    def configured(
        cls,
        settings: Mapping[str, object],
        templates: Mapping[str, Mapping[str, object]],
        secret: Secret,
        clock: WallClock,
    ) -> GenericHttp:
        """The provider of one target; `secret` goes into the header that `auth` names.

        Raises:
            Invalid: code `bad_target`.
        """
        return cls(described.described(settings), templates, secret, clock)

    @property
    def revocation_class(self) -> RevocationClass:
        """What the description declares."""
        return RevocationClass(self._api.revocation_class)

    def check_template(self, template: Mapping[str, object]) -> None:
        """Refuse a template that has not exactly the members that `create` uses.

        Raises:
            Invalid: code `bad_template`.
        """
        wanted = {n.removeprefix("template.") for n in described.used(self._api.create) if "." in n}
        if missing := sorted(wanted - template.keys()):
            raise Invalid("bad_template", f"`{missing[0]}` is missing: the description uses it")
        if unknown := sorted(template.keys() - wanted):
            raise Invalid("bad_template", f"`{unknown[0][:40]}`: the description does not use it")
        values = self._values_of(template)
        values |= dict.fromkeys(described.ALWAYS, "x")
        try:
            fill_path(self._api.create.path, values)
            for place in self._api.create.query.values():
                fill_text(place, values)
            for place in self._api.create.headers.values():
                fill_header(place, values)
        except Invalid as error:
            raise Invalid("bad_template", error.message) from error

    async def issue(self, intent: Intent) -> Issued:
        """Make the credential, if its time has not passed by our clock."""
        async with within("issue", METHOD_SECONDS):
            self.check_template(intent.template)
            left = intent.expires_at - self._clock.now()
            values: Values = {
                **self._values_of(intent.template),
                "handle": intent.handle,
                "expires_at": show(intent.expires_at),
                "expires_in": int(left.total_seconds()),
            }
            require_time(intent, self._clock.now())
            answer = expect(await self._call(self._api.create, values), self._api.create.success, "issue")
            return self._issued(intent.handle, answer)

    async def locate(self, handle: str) -> str | None:
        """The id of the credential of that name, if the API can be asked for it."""
        async with within("locate", METHOD_SECONDS):
            ids = await self._ids(handle)
        return ids[0] if ids else None

    async def freeze(self, ref: Ref) -> None:
        """Delete it: such APIs know no pause; `thaw` makes it anew."""
        await self.destroy(ref)

    async def thaw(self, ref: Ref, intent: Intent) -> Issued:
        """Make it anew under the same handle, unless it was never made or is being destroyed."""
        if ref.target_id is None:
            raise TargetError("missing_object", f"nothing was made as `{ref.handle[:63]}`", sent=False)
        return await self.issue(intent)

    async def destroy(self, ref: Ref) -> None:
        """Delete what has the id, and whatever else carries the handle."""
        delete = self._api.delete
        if delete is None:
            return
        async with within("destroy", METHOD_SECONDS):
            known = [] if ref.target_id is None else [ref.target_id]
            for one in dict.fromkeys([*known, *await self._ids(ref.handle)]):
                values = self._values(ref, one)
                if values is None:
                    continue
                answer = await self._call(delete, values)
                expect(answer, (*delete.success, *delete.gone), "destroy")

    async def observe(self, ref: Ref) -> Observation:
        """Ask for the id, for the handle, and with the secret itself, as far as is described."""
        async with within("observe", METHOD_SECONDS):
            ids = await self._ids(ref.handle)
            if ids and set(ids) != {ref.target_id}:
                return self._seen(Presence.PRESENT, "find by handle", ref)
            if ref.lands_by is not None and self._may_land(ref):
                until = ref.lands_by + timedelta(seconds=self._api.lands_within_seconds)
                lasting = Lasting("an unanswered request on its way", until)
                return Observation(Presence.UNKNOWN, "an unanswered create", lasting=lasting)
            if ref.target_id is None:
                return self._never_answered(ref)
            return await self._look(ref, ref.target_id)

    async def inventory(self, prefix: str) -> Sequence[Found] | None:
        """Everything that `find` lists under `prefix`; None where it is not described."""
        if self._api.find is None:
            return None
        async with within("inventory", METHOD_SECONDS):
            return [found for found in await self._listed(prefix) if found.handle.startswith(prefix)]

    async def preflight(self, prefix: str) -> Sequence[Check]:
        """Make a canary by the first template, and prove it dead with what is described."""
        return await Canary(self, self._clock, self._is_honoured).run(prefix, self._templates)

    async def close(self) -> None:
        """Close the connections to the API."""
        await self._http.close()

    # -- the calls ---------------------------------------------------------------------
    async def _call(self, call: described.Call, values: Values, *, as_admin: bool = True) -> Answer:
        headers = {name: fill_header(text, values) for name, text in call.headers.items()}
        if as_admin and "secret" not in frozenset(names_in(call.headers)):
            headers[self._api.auth.header] = self._api.auth.prefix + self._secret.reveal()
        return await self._http.call(
            call.method,
            fill_path(call.path, values),
            query={name: fill_text(text, values) for name, text in call.query.items()},
            body=fill_json(call.body, values) if call.body is not None else None,
            headers=headers,
        )

    async def _listed(self, handle: str) -> list[Found]:
        listing = self._api.find
        if listing is None:
            return []
        answer = expect(await self._call(listing, {"handle": handle}), listing.success, "find")
        items = find(answer.json(), listing.items)
        if not isinstance(items, list) or len(items) > _MOST_FOUND:
            raise TargetError("bad_answer", f"expected a list of at most {_MOST_FOUND} at `{listing.items}`")
        return [
            Found(name, str(number), None)
            for item in items
            if isinstance(name := find(item, listing.handle), str)
            and isinstance(number := find(item, listing.id), str | int)
        ]

    async def _ids(self, handle: str) -> list[str]:
        return [found.target_id for found in await self._listed(handle) if found.handle == handle]

    async def _look(self, ref: Ref, target_id: str) -> Observation:
        check = self._api.check
        if self._api.revocation_class == "D" or check is None:
            return self._seen(Presence.UNKNOWN, "nothing can be asked", ref)
        answer = await self._call(check, {"handle": ref.handle, "id": target_id})
        if answer.status in check.present:
            return self._seen(Presence.PRESENT, "check by id", ref)
        if answer.status not in check.absent:
            raise refused(answer.status, "check")
        if self._api.probe is None or ref.kept is None:
            lingers = self._api.revocation_class == "C"
            presence = Presence.LINGERING if lingers else Presence.ABSENT
            return self._seen(presence, "check by id", ref)
        for _ in range(PROBES):
            if await self._honours(self._api.probe, ref.handle, target_id, ref.kept):
                return self._seen(Presence.PRESENT, "a use of the secret", ref)
        return Observation(Presence.ABSENT, f"check by id, {PROBES} refused uses of the secret")

    async def _honours(self, probe: described.Check, handle: str, target_id: str, secret: Secret) -> bool:
        values = {"handle": handle, "id": target_id, "secret": secret.reveal()}
        answer = await self._call(probe, values, as_admin=False)
        if answer.status in probe.present:
            return True
        if answer.status in probe.absent:
            return False
        raise refused(answer.status, "probe")

    async def _is_honoured(self, handle: str, issued: Issued) -> bool:
        """Whether the canary works: by a use where one is described, else by asking for it."""
        if self._api.probe is not None:
            return await self._honours(self._api.probe, handle, issued.target_id, issued.secret)
        if self._api.check is None:
            return True
        answer = await self._call(self._api.check, {"handle": handle, "id": issued.target_id})
        return answer.status in self._api.check.present

    # -- what is made of them ----------------------------------------------------------
    def _issued(self, handle: str, answer: Answer) -> Issued:
        document = answer.json()
        number, secret = find(document, self._api.create.id), find(document, self._api.create.secret)
        if isinstance(number, bool) or not isinstance(number, str | int) or number == "":
            raise TargetError("bad_answer", f"there is no id at `{self._api.create.id}`")
        if not isinstance(secret, str) or not secret:
            raise TargetError("bad_answer", f"there is no secret at `{self._api.create.secret}`")
        told = {name: fill_text(text, {"handle": handle}) for name, text in self._api.connection.items()}
        kept = Secret(secret) if self._api.keep_secret else None
        return Issued(str(number), told, Secret(secret), kept)

    def _values(self, ref: Ref, target_id: str) -> Values | None:
        """What a delete is filled with; None when it needs a secret that we do not have."""
        values: dict[str, object] = {"handle": ref.handle, "id": target_id}
        if "secret" in described.used(self._api.delete):
            if ref.kept is None:
                return None
            values["secret"] = ref.kept.reveal()
        return values

    def _values_of(self, template: Mapping[str, object]) -> dict[str, object]:
        return {f"template.{name}": value for name, value in template.items()}

    def _may_land(self, ref: Ref) -> bool:
        if ref.lands_by is None:
            return False
        return self._clock.now() < ref.lands_by + timedelta(seconds=self._api.lands_within_seconds)

    def _never_answered(self, ref: Ref) -> Observation:
        if self._api.find is not None:
            return Observation(Presence.ABSENT, "find by handle")
        if ref.lands_by is None:
            return Observation(Presence.ABSENT, "nothing of it was ever sent")
        return self._seen(Presence.UNKNOWN, "it cannot be searched for", ref)

    def _seen(self, presence: Presence, method: str, ref: Ref) -> Observation:
        names = described.used(self._api.create) & {"expires_at", "expires_in"}
        lasting = None
        if ref.expires_at is not None and names:
            lasting = Lasting("the API, until the expiry it was asked for", ref.expires_at)
        return Observation(presence, method, {"login": int(presence is Presence.PRESENT)}, lasting)
