"""``weighmaster verify``: verify the weights in a folder against their signature."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import NoReturn

import click
import msgspec
from msgspec import Struct

from weighmaster.api.v1alpha1.content import Coverage
from weighmaster.core.verify.authorities import (
    Authority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.bundle import MAX_BUNDLE_BYTES
from weighmaster.core.verify.compare import Scope
from weighmaster.core.verify.model import Requirement, Verified
from weighmaster.core.verify.reasons import EXPLANATIONS, VerificationReason
from weighmaster.core.verify.statement import Terms
from weighmaster.errors import AuthorityError, VerificationError
from weighmaster.verifying.directory import Request, verify_directory
from weighmaster.verifying.hashing import Hashing, Progress, algorithms
from weighmaster.verifying.tree import Links

VERIFIED, NOT_VERIFIED, BAD_INPUT = 0, 1, 2
"""Exit codes."""

SIGNATURE_NAMES = ("model.sig", "result.sigstore", "model.sigstore.json")
"""Where a signature is looked for when none is named; the first is what model-signing writes."""

MAX_INPUT_BYTES = 1024 * 1024


class Options(Struct, frozen=True, kw_only=True):
    """The options, by the names they have on the command line."""

    signature: Path | None
    key: Path | None
    certificate_roots: Path | None
    extended_key_usage: str
    identity: str | None
    identity_pattern: str | None
    identity_provider: str | None
    trusted_root: Path | None
    coverage: str
    ignore_path: tuple[str, ...]
    follow_symlinks: bool
    allow_legacy: bool
    threads: int | None
    output: str


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--signature",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The signature (an OMS bundle). Default: model.sig in DIR, else result.sigstore.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="By key: a public key in PEM (EC P-256, P-384 or P-521).",
)
@click.option(
    "--certificate-roots",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="By certificate: root certificates in PEM; nothing else is trusted. Needs --identity.",
)
@click.option(
    "--extended-key-usage",
    type=click.Choice(["code-signing", "any"]),
    default="code-signing",
    show_default=True,
    help="What the signing certificate must be made for.",
)
@click.option(
    "--identity",
    help=(
        "Who must have signed: with --certificate-roots a SAN of the certificate, or its whole"
        " subject where it has none; with --identity-provider the keyless subject."
    ),
)
@click.option("--identity-pattern", help="Keyless subject as a pattern (RE2), from ^ to $.")
@click.option(
    "--identity-provider",
    "--issuer",
    "identity_provider",
    metavar="URL",
    help="Keyless: the OIDC issuer that vouched for the identity, exactly.",
)
@click.option(
    "--trusted-root",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Keyless: trusted_root.json of a Sigstore instance. Default: the public good instance.",
)
@click.option(
    "--coverage",
    type=click.Choice(["all", "weights"]),
    default="all",
    show_default=True,
    help="All files must be signed, or all but documentation.",
)
@click.option(
    "--ignore-path", multiple=True, metavar="PATH", help="Leave out this path in DIR (repeatable)."
)
@click.option(
    "--follow-symlinks",
    is_flag=True,
    help="Accept links to files anywhere, as in a Hugging Face cache; their bytes are checked.",
)
@click.option(
    "--allow-legacy", is_flag=True, help="Accept the deprecated format of model-signing 0.2."
)
@click.option("--threads", type=click.IntRange(1, 64), help="Default: the processors there are.")
@click.option(
    "-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def verify(directory: Path, **options: object) -> None:
    """Verify the weights in DIR (a folder, or one file) against their signature.

    Say who must have signed, in one of three ways: --key; --certificate-roots and --identity;
    or --identity and --identity-provider (keyless, Sigstore). Nothing is fetched from anywhere.

    \b
        weighmaster verify ./model --key publisher.pem
        weighmaster verify ./model --identity release@example.com \\
            --identity-provider https://accounts.example.com

    Exit codes: 0 verified, 1 not verified (with a reason code), 2 bad input.
    """  # noqa: D301 - click wants a real backspace to leave the lines as they are
    chosen = msgspec.convert(options, Options)
    authority = _authority(chosen)
    started = time.monotonic()
    try:
        verified = _verify(directory, chosen, authority)
    except VerificationError as error:
        _fail(error, chosen.output)
    _succeed(verified, time.monotonic() - started, chosen.output)


def _verify(directory: Path, options: Options, authority: Authority) -> Verified:
    signature = options.signature or _find_signature(directory)
    terms = Terms(
        algorithms=algorithms(),
        legacy=options.allow_legacy,
        single_file=None if directory.is_dir() else directory.name,
    )
    scope = Scope(
        coverage=Coverage.ALL if options.coverage == "all" else Coverage.WEIGHTS,
        ignore=frozenset(path.strip("/").removeprefix("./") for path in options.ignore_path),
        allow_symlinks=options.follow_symlinks,
    )
    request = Request(
        root=directory,
        bundles=[_read(signature, MAX_BUNDLE_BYTES + 1)],
        requirement=Requirement(authorities=(authority,), terms=terms),
        scope=scope,
        links=Links.ANYWHERE if options.follow_symlinks else Links.INSIDE,
        signatures=(signature,),
    )
    with _progress(options.output) as progress:
        return verify_directory(request, datetime.now(UTC), Hashing(options.threads, progress))


def _authority(options: Options) -> Authority:
    """The authority that the options name; a mistake in them is bad input."""
    ways = [
        options.key is not None,
        options.certificate_roots is not None,
        options.identity_provider is not None,
    ]
    if sum(ways) != 1:
        raise click.UsageError(
            "Say who must have signed by exactly one of --key, --certificate-roots and"
            " --identity-provider."
        )
    try:
        return _made_authority(options)
    except AuthorityError as error:
        raise click.UsageError(f"{error}.") from None


def _made_authority(options: Options) -> Authority:
    if options.key is not None:
        if options.identity is not None:
            raise click.UsageError("--identity does not go with --key, which is one by itself.")
        return key_authority(_read_text(options.key))
    if options.certificate_roots is not None:
        if options.identity is None:
            raise click.UsageError(
                "--certificate-roots needs --identity: anybody under a root could have signed."
            )
        return certificate_authority(
            _read_text(options.certificate_roots),
            options.identity,
            code_signing=options.extended_key_usage == "code-signing",
        )
    # Imported here: sigstore takes a quarter of a second, which only keyless is worth.
    from weighmaster.core.verify.trust_root import TrustRoot  # noqa: PLC0415
    from weighmaster.verifying.trust_roots import public_good_trust_root  # noqa: PLC0415

    root = (
        public_good_trust_root()
        if options.trusted_root is None
        else TrustRoot(_read(options.trusted_root, MAX_INPUT_BYTES + 1))
    )
    return keyless_authority(
        root,
        options.identity_provider or "",
        subject=options.identity,
        pattern=options.identity_pattern,
    )


def _find_signature(directory: Path) -> Path:
    if directory.is_dir():
        for name in SIGNATURE_NAMES:
            if (directory / name).is_file():
                return directory / name
    raise VerificationError(
        VerificationReason.NOT_SIGNED,
        f"there is no signature ({' or '.join(SIGNATURE_NAMES)}) in the folder; name one with"
        " --signature",
    )


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(limit)
    except OSError:
        raise click.UsageError(f"{path} cannot be read.") from None


def _read_text(path: Path) -> str:
    try:
        return _read(path, MAX_INPUT_BYTES).decode()
    except UnicodeDecodeError:
        raise click.UsageError(f"{path} is not text.") from None


@contextmanager
def _progress(output: str) -> Iterator[Progress]:
    """A bar with throughput on a terminal; nothing on a pipe."""
    if output != "text" or not sys.stderr.isatty():
        yield lambda _count, _total: None
        return
    from rich import progress as rich_progress  # noqa: PLC0415 - not worth its import on a pipe
    from rich.console import Console  # noqa: PLC0415

    columns = (
        rich_progress.BarColumn(),
        rich_progress.DownloadColumn(),
        rich_progress.TransferSpeedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with rich_progress.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("hashing", total=None)
        yield _Gathered(lambda count, total: bar.update(task, advance=count, total=total))


class _Gathered:
    """Passes on progress in larger steps: drawing each MiB would cost the threads their time."""

    STEP = 32 * 1024 * 1024

    def __init__(self, report: Progress) -> None:
        self._report = report
        self._lock = Lock()
        self._count = 0

    def __call__(self, count: int, total: int) -> None:
        """Add bytes."""
        with self._lock:
            self._count += count
            if self._count < self.STEP:
                return
            passed, self._count = self._count, 0
        self._report(passed, total)


def _succeed(verified: Verified, seconds: float, output: str) -> None:
    comparison = verified.comparison
    if output == "json":
        document = {
            "verified": True,
            "signers": [
                {"method": each.method, "identity": each.identity, "issuer": each.issuer}
                for each in verified.signers
            ],
            "manifestDigest": verified.manifest_digest,
            "files": comparison.signed,
            "unsignedFiles": comparison.unsigned,
            "bytes": comparison.size,
            "seconds": round(seconds, 3),
        }
        click.echo(msgspec.json.encode(document).decode())
        return
    size = comparison.size or 0
    click.echo(f"verified: {comparison.signed} files, {size / 1e9:.3f} GB in {seconds:.1f} s")
    for each in verified.signers:
        click.echo(f"signed by {each}")
    click.echo(f"manifest {verified.manifest_digest}")


def _fail(error: VerificationError, output: str) -> NoReturn:
    if output == "json":
        document = {"verified": False, "reason": error.reason, "message": error.message}
        click.echo(msgspec.json.encode(document).decode())
    else:
        click.echo(f"NOT verified: {error.reason.value}: {error.message}")
        click.echo(EXPLANATIONS[VerificationReason(error.reason)])
    raise SystemExit(NOT_VERIFIED)
