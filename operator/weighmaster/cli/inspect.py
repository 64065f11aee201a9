"""``weighmaster inspect``: gather evidence about a model and show it, with how each is known."""

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from weighmaster.cli.gathering import gather_settings, gathering_options
from weighmaster.core import references
from weighmaster.core.attestations import claims, loadable_digest_of
from weighmaster.core.evaluate.records import read_reference
from weighmaster.core.evidence import Basis, Evidence, Unavailable
from weighmaster.core.values import ModelReference
from weighmaster.core.verify.wording import shown
from weighmaster.gather.credentials import NONE, Credentials, token
from weighmaster.gather.service import Gatherer
from weighmaster.gather.settings import GatherSettings
from weighmaster.telemetry import silence_logging

NOT_AVAILABLE = 1
"""Exit code when nothing could be found out."""

TOKEN_VARIABLE = "HF_TOKEN"  # noqa: S105 - the name of a variable, not a token

Row = tuple[str, str, str]


@click.command()
@click.argument("reference")
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table")
@gathering_options
def inspect(reference: str, output: str, **gathering: Any) -> None:
    """Gather evidence about a model and show it.

    REFERENCE is a canonical reference such as hf://org/name@revision,
    oci://registry/repository:tag or image-embedded:registry/repository@digest; org/name alone is
    taken for a repository on Hugging Face. A token for gated models is read from HF_TOKEN. Weights
    are not downloaded.

    Exit codes: 0 shown, 1 nothing could be found out, 2 bad input.
    """
    silence_logging()
    settings = gather_settings(**gathering)
    parsed = _parse(reference)
    if not parsed.known and not references.names_image(parsed):
        raise click.UsageError(f"{reference} is not a reference that names a model")
    answer = asyncio.run(_gather(parsed, settings))
    if isinstance(answer, Unavailable):
        if output == "json":
            click.echo(msgspec.json.format(msgspec.json.encode(answer)))
        else:
            click.echo(f"{parsed.canonical}: {answer.message} [{answer.reason}]", err=True)
        raise SystemExit(NOT_AVAILABLE)
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(_plain(answer))))
    else:
        Console().print(_table(answer))


def _parse(reference: str) -> ModelReference:
    if "://" not in reference and references.is_repository_name(reference.partition("@")[0]):
        return references.parse(f"hf://{reference}")
    return read_reference(reference)


async def _gather(reference: ModelReference, settings: GatherSettings) -> Evidence | Unavailable:
    async with Gatherer(settings) as gatherer:
        return await gatherer.resolve(reference, _credentials(reference, settings))


def _credentials(reference: ModelReference, settings: GatherSettings) -> Credentials:
    secret = os.environ.get(TOKEN_VARIABLE)
    if reference.scheme != "hf" or not secret:
        return NONE
    return token(settings.endpoint("hf").authority, secret)


def _plain(evidence: Evidence) -> dict[str, object]:
    """Everything but the bytes of signatures and attestations."""
    plain: dict[str, object] = msgspec.to_builtins(evidence)
    plain["signatures"] = [
        {
            "kind": each.kind,
            "source": each.source,
            "subject": each.subject,
            "bytes": len(each.content),
        }
        for each in evidence.signatures
    ]
    plain["attestations"] = [
        {"predicateType": each.predicate_type, "source": each.material.source, "about": each.about}
        for each in claims(evidence)
    ]
    return plain


def _table(evidence: Evidence) -> Table:
    table = Table(title=escape(evidence.reference), box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "found", "known by"):
        table.add_column(column, overflow="fold")
    for what, found, basis in _rows(evidence):
        table.add_row(what, escape(found), basis)
    return table


def _rows(evidence: Evidence) -> Iterator[Row]:
    card, content = evidence.card, evidence.content
    yield "resolved to", evidence.resolved, Basis.FETCHED
    if evidence.renamed:
        yield "renamed", "the hub serves it under another name than was asked for", Basis.FETCHED
    counts = {basis: sum(file.basis is basis for file in evidence.files) for basis in Basis}
    for basis, count in counts.items():
        if count:
            yield "files", f"{count} of {len(evidence.files)} with their digest", basis
    if digest := loadable_digest_of(evidence):
        yield "digest of what may be loaded", digest, Basis.FETCHED
    yield "size", f"{evidence.size:,} bytes", Basis.FETCHED
    yield "licence", card.license or "none stated", card.basis
    yield "made from", ", ".join(card.base_models) or "nothing that it says", card.basis
    for fact in content.formats:
        yield "format", f"{fact.format}: {fact.files} files, {fact.bytes:,} bytes", fact.basis
    for disguise in content.disguises:
        yield "disguise", f"{disguise.name} is {disguise.found} by content", Basis.FETCHED
    if content.code.present:
        code = (*content.code.auto_map, *content.code.foreign, *content.code.python)
        yield "code", ", ".join(code[:8]) or "yes", content.code.basis
    yield from _signed(evidence)
    for gap in evidence.gaps:
        yield "not known", f"{gap.reason}: {gap.detail}", ""


def _signed(evidence: Evidence) -> Iterator[Row]:
    """Signatures and attestations; who is behind them is for authorities to say."""
    attested = claims(evidence)
    others = [claim.material for claim in attested]
    signatures = [each for each in evidence.signatures if each not in others]
    for each in signatures:
        yield "signature", f"{each.kind} in {each.source}, not verified", Basis.FETCHED
    if not signatures:
        yield "signature", "none", Basis.FETCHED
    for claim in attested:
        where = f"in {claim.material.source}, not verified"
        found = f"{shown(claim.predicate_type)} {claim.about}, {where}"
        yield "attestation", found, Basis.FETCHED
