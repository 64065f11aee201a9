"""Adapter for github.com/sampras343/model-signing-conformance: only the exit code counts.

    pytest test/ --entrypoint=<a script that runs `python -m tests.conformance.adapter "$@"`>

``sign-model`` is the reference implementation's; ``verify-model`` is ours. The suite differs from
what we demand in three ways, which are met here and nowhere else:

- it names no identity for certificates: the leaf's own is taken, so only the chain is tested;
- it verifies the format of 0.2, which has to be allowed;
- ``--ignore-unsigned-files``: files that were not signed are taken out of the comparison.
"""

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from weighmaster.core.verify.authorities import (
    Authority,
    certificate_authority,
    key_authority,
    keyless_authority,
)
from weighmaster.core.verify.bundle import parse_bundle
from weighmaster.core.verify.chains import identities_of
from weighmaster.core.verify.compare import Scope
from weighmaster.core.verify.model import Requirement
from weighmaster.core.verify.statement import Terms, parse_statement
from weighmaster.errors import WeighmasterError
from weighmaster.verifying.directory import Request, verify_directory
from weighmaster.verifying.hashing import Hashing, algorithms
from weighmaster.verifying.tree import walk
from weighmaster.verifying.trust_roots import public_good_trust_root

SIGNER = (
    "import sys, OpenSSL.crypto\n"  # model-signing 1.1.1 needs it and does not say so
    "from model_signing._cli import main\n"
    "main()"
)


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.command == "sign-model":
        return _sign(arguments)
    try:
        _verify(arguments)
    except WeighmasterError as error:
        sys.stderr.write(f"{getattr(error, 'reason', '')}: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    sign, verify = commands.add_parser("sign-model"), commands.add_parser("verify-model")
    for command in (sign, verify):
        command.add_argument("--method", choices=["key", "certificate", "sigstore"], required=True)
        command.add_argument("--model-path", type=Path, required=True)
        command.add_argument("--cert-chain", type=Path, action="append", default=[])
        command.add_argument("--ignore-paths", type=Path, action="append", default=[])
        command.add_argument("--use-staging", action="store_true")
    sign.add_argument("--output-bundle", type=Path, required=True)
    for option in ("--private-key", "--signing-cert", "--identity-token"):
        sign.add_argument(option)
    verify.add_argument("--bundle", type=Path, required=True)
    verify.add_argument("--public-key", type=Path)
    verify.add_argument("--identity")
    verify.add_argument("--identity-provider")
    verify.add_argument("--ignore-unsigned-files", action="store_true")
    return parser


def _sign(arguments: argparse.Namespace) -> int:
    if arguments.model_path.is_dir() and not any(
        each.is_file() and each.name != ".gitignore" for each in arguments.model_path.rglob("*")
    ):
        sys.stderr.write("an empty model must not be signed (OMS section 6.1)\n")
        return 1
    command = [sys.executable, "-c", SIGNER, "sign", arguments.method]
    command += ["--signature", str(arguments.output_bundle)]
    if arguments.private_key:
        command += ["--private_key", arguments.private_key]
    if arguments.signing_cert:
        command += ["--signing_certificate", arguments.signing_cert]
    for certificate in arguments.cert_chain:
        command += ["--certificate_chain", str(certificate)]
    for path in arguments.ignore_paths:
        command += ["--ignore-paths", str(path)]
    return subprocess.run([*command, str(arguments.model_path)], check=False).returncode


def _verify(arguments: argparse.Namespace) -> None:
    model: Path = arguments.model_path.resolve()
    raw = arguments.bundle.read_bytes()
    authority = _authority(arguments, raw)
    terms = Terms(
        algorithms=algorithms(),
        legacy=True,
        single_file=None if model.is_dir() else model.name,
    )
    ignore = {path.absolute().relative_to(model).as_posix() for path in arguments.ignore_paths}
    if arguments.ignore_unsigned_files:
        signed = parse_statement(parse_bundle(raw).payload, terms)
        ignore |= {file.name for file in walk(model)} - signed.digests.keys()
    request = Request(
        root=model,
        bundles=[raw],
        requirement=Requirement(authorities=(authority,), terms=terms),
        scope=Scope(ignore=frozenset(ignore)),
        signatures=(arguments.bundle,),
    )
    verify_directory(request, datetime.now(UTC), Hashing())


def _authority(arguments: argparse.Namespace, raw: bytes) -> Authority:
    if arguments.method == "key":
        return key_authority(arguments.public_key.read_text())
    if arguments.method == "certificate":
        roots = "".join(path.read_text() for path in arguments.cert_chain)
        certificates = parse_bundle(raw).certificates
        leaf = x509.load_der_x509_certificate(certificates[0]) if certificates else None
        names = identities_of(leaf) if leaf else ()
        return certificate_authority(roots, names[0] if names else "nobody")
    return keyless_authority(
        public_good_trust_root(), arguments.identity_provider, subject=arguments.identity
    )


if __name__ == "__main__":
    sys.exit(main())
