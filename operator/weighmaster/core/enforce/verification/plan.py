"""The plan: what has to be verified where, from the findings that hold only if it is.

    findings with a demand ──> claims, one for each place ──> sites ──> expectations

Nothing depends on the order of findings, policies or containers.
"""

from collections.abc import Mapping, Sequence

from msgspec import Struct

from weighmaster.core.decide import Decision
from weighmaster.core.detect.reading import Json
from weighmaster.core.enforce.verification.members import Member, members
from weighmaster.core.enforce.verification.sites import Site, site_of
from weighmaster.core.evaluate import Finding
from weighmaster.core.evaluate.demands import Demand
from weighmaster.core.evaluate.records import Record, record_key
from weighmaster.core.evaluate.snapshot import Snapshot
from weighmaster.core.mounted import (
    MAX_EXPECTATIONS,
    MAX_EXPECTATIONS_BYTES,
    Expectation,
    encode_expectations,
)
from weighmaster.core.values import ModelUse, Outcome, Place


class Claim(Struct, frozen=True):
    """What one finding, known by its number, says that lies at one site.

    ``reference`` is what it says lies there, ``store`` where that is if it outlives the pod,
    ``reader`` the container that loads it, ``fetchers`` those that fetch it.
    """

    finding: int
    site: Site
    reference: str
    store: str
    reader: str
    fetchers: tuple[str, ...]
    demand: Demand


class Plan(Struct, frozen=True):
    """What the verifying container checks, and through which mounts.

    ``mounts`` are volumes with the part of each that is mounted, in the order of their numbers.
    ``readers`` are the containers that load from them, ``fetchers`` those that fetch to them.
    ``objections`` say why findings do not hold, by their number.
    """

    expectations: tuple[Expectation, ...]
    mounts: tuple[tuple[str, str], ...]
    readers: frozenset[str]
    fetchers: frozenset[str]
    objections: Mapping[int, str]


def make_plan(spec: Mapping[str, Json], decision: Decision, snapshot: Snapshot) -> Plan:
    """The plan for a pod of this spec."""
    objections: dict[int, str] = {}
    claims = claims_of(spec, decision, snapshot, objections)
    for site, group in _by_site(claims).items():
        if problem := _contradiction(site, group):
            objections.update((claim.finding, problem) for claim in group)
    kept = [claim for claim in claims if claim.finding not in objections]
    mounts = tuple(sorted({(claim.site.volume, claim.site.sub_path) for claim in kept}))
    expectations = _expectations(kept, mounts)
    too_long = len(encode_expectations(expectations)) > MAX_EXPECTATIONS_BYTES
    if len(expectations) > MAX_EXPECTATIONS or too_long:
        objections.update((claim.finding, _TOO_MUCH) for claim in kept)
        kept, expectations, mounts = [], (), ()
    return Plan(
        expectations=expectations,
        mounts=mounts,
        readers=frozenset(claim.reader for claim in kept),
        fetchers=frozenset(name for claim in kept for name in claim.fetchers),
        objections=objections,
    )


def claims_of(
    spec: Mapping[str, Json], decision: Decision, snapshot: Snapshot, objections: dict[int, str]
) -> list[Claim]:
    """What findings say of places in a pod of this spec; why others say nothing is added."""
    return _Claims(spec, decision, snapshot).read(objections)


_NOTHING_SAYS = (
    "nothing says what its bytes must be: give the rule authorities, who sign such weights with the"
    " signature beside them, or fetch the model from a hub in an init container, pinned"
)
_TOO_MUCH = "the pod has more models than one container can be told to verify; split it up"


class _Claims:
    def __init__(self, spec: Mapping[str, Json], decision: Decision, snapshot: Snapshot) -> None:
        self._decision = decision
        self._snapshot = snapshot
        self._members: dict[str, Member] = {}
        for member in members(spec):
            self._members.setdefault(member.name, member)

    def read(self, objections: dict[int, str]) -> list[Claim]:
        """The claims of all findings; those that have no site are objected to."""
        claims: list[Claim] = []
        for number, finding in enumerate(self._decision.findings):
            if finding.demand is None or finding.demand.staged:
                continue
            use = finding.use
            for place in use.places:
                site = self._site(use, place)
                if isinstance(site, str):
                    objections.setdefault(number, site)
                    continue
                claim = self._claim(number, finding, place, site)
                if claim is None:
                    objections.setdefault(number, _NOTHING_SAYS)
                else:
                    claims.append(claim)
            if not use.places:
                objections[number] = "where it lies is not known"
        return [claim for claim in claims if claim.finding not in objections]

    def _site(self, use: ModelUse, place: Place) -> Site | str:
        reader = self._members.get(use.process.container or "")
        if reader is None:
            return "which container loads it is not known; name its path among the arguments of one"
        for name in place.fetchers:
            fetcher = self._members.get(name)
            if fetcher is None or fetcher.stays:
                return (
                    f"container {name} fetches it and runs beside the server; fetch it in an"
                    " ordinary init container"
                )
        return site_of(place, reader)

    def _claim(self, number: int, finding: Finding, place: Place, site: Site) -> Claim | None:
        """What a finding says of a place; None where nothing says what lies there."""
        reference, demand = finding.use.reference.canonical, finding.demand or Demand()
        if not demand.digest:
            found = self._vouched(finding, site)
            if found is not None:
                reference, demand = found
            elif demand.signatures is None:
                return None
        return Claim(
            finding=number,
            site=site,
            reference=reference,
            store=place.store,
            reader=finding.use.process.container or "",
            fetchers=place.fetchers,
            demand=demand,
        )

    def _vouched(self, finding: Finding, site: Site) -> tuple[str, Demand] | None:
        """A hub's model that has to lie at a site, and what its bytes are.

        What is fetched to a volume is two things: the model, and whatever lay there before. The
        first is judged by its evidence; that the second is nothing else has to be verified.
        """
        judged = finding.demand is not None and finding.demand.judged
        for use in self._decision.uses:
            record = self._record(use)
            if record is None or use.process.container != finding.use.process.container:
                continue
            if judged and not self._holds(finding, use):
                continue
            sites = [self._site(use, place) for place in use.places]
            if any(isinstance(each, Site) and each.covers(site) for each in sites):
                status = record.status
                digest, fingerprints = status.loadable_digest or "", status.fingerprints or ""
                return use.reference.canonical, Demand(digest=digest, fingerprints=fingerprints)
        return None

    def _record(self, use: ModelUse) -> Record | None:
        """What is known of the bytes of a use that names immutable content."""
        if not use.reference.pinned or not use.places:
            return None
        key = record_key(use.reference, self._decision.workload.namespace)
        record = self._snapshot.records.get(key)
        known = record is not None and record.problem is None and record.renamed is None
        return record if known and record and record.status.loadable_digest else None

    def _holds(self, finding: Finding, use: ModelUse) -> bool:
        """Whether the rule of a finding holds for another use, by evidence."""
        return any(
            (other.policy, other.rule, other.use) == (finding.policy, finding.rule, use)
            and other.outcome is Outcome.PASS
            and other.demand is None
            for other in self._decision.findings
        )


def _by_site(claims: Sequence[Claim]) -> dict[Site, list[Claim]]:
    groups: dict[Site, list[Claim]] = {}
    for claim in claims:
        groups.setdefault(claim.site, []).append(claim)
    return groups


def _contradiction(site: Site, group: Sequence[Claim]) -> str | None:
    """Why claims about one site cannot all be true, or be told from others."""
    digests = {claim.demand.digest for claim in group if claim.demand.digest}
    if len(digests) > 1:
        names = " and ".join(sorted({claim.reference for claim in group if claim.demand.digest}))
        return f"different models are fetched to the same folder: {names}"
    if site.file and any(claim.demand.digest and not claim.demand.fingerprints for claim in group):
        return (
            "one file of a model of more than 512 files cannot be told from others; load a folder"
        )
    return None


def _expectations(
    claims: Sequence[Claim], mounts: Sequence[tuple[str, str]]
) -> tuple[Expectation, ...]:
    groups = _by_site([claim for claim in claims if not _is_covered(claim, claims)])
    return tuple(_expectation(site, groups[site], mounts) for site in sorted(groups))


def _is_covered(claim: Claim, claims: Sequence[Claim]) -> bool:
    """Whether a folder around it is verified in the same way, and it with that."""
    return any(
        other.site != claim.site and other.site.covers(claim.site) and other.demand == claim.demand
        for other in claims
    )


def _expectation(
    site: Site, group: Sequence[Claim], mounts: Sequence[tuple[str, str]]
) -> Expectation:
    first = min(group, key=lambda claim: (not claim.demand.digest, claim.reference, claim.store))
    signatures = {claim.demand.signatures for claim in group if claim.demand.signatures}
    return Expectation(
        reference=first.reference,
        mount=str(mounts.index((site.volume, site.sub_path))),
        path=site.path,
        file=site.file,
        hidden=site.hidden,
        store=first.store,
        digest=first.demand.digest,
        fingerprints=first.demand.fingerprints,
        signatures=tuple(sorted(signatures, key=repr)),
    )
