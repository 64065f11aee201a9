"""What Weighmaster needs of the sigstore library, so that a new release says what it has changed.

Should one of these fail after an upgrade, keyless signatures no longer verify: mend
``core/verify/trust_root.py`` or ``core/verify/keyless.py``, the only places that use the library.
"""

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import weighmaster
from tests.signing.sigstore_instance import SigstoreInstance
from weighmaster.core.verify import trust_root as trust_root_module
from weighmaster.core.verify.trust_root import TrustRoot
from weighmaster.errors import AuthorityError

SOURCES = Path(weighmaster.__file__).parent
HINT = "a new release of sigstore has moved it; see the docstring of this file"


@pytest.mark.parametrize(
    ("module", "name", "attributes"),
    [
        ("sigstore.errors", "Error", ()),
        ("sigstore.errors", "CertValidationError", ()),
        ("sigstore.models", "TrustedRoot", ()),
        ("sigstore.models", "Bundle", ("from_json", "signing_certificate")),
        ("sigstore.verify", "Verifier", ("verify_dsse",)),
        ("sigstore_models.trustroot.v1", "TrustedRoot", ("from_json",)),
        ("sigstore_models.trustroot.v1", "CertificateAuthority", ()),
        ("sigstore_models.trustroot.v1", "TransparencyLogInstance", ()),
        ("sigstore_models.common.v1", "TimeRange", ()),
    ],
)
def test_library_has_what_is_used_of_it(
    module: str, name: str, attributes: tuple[str, ...]
) -> None:
    found = getattr(importlib.import_module(module), name, None)
    assert found is not None, f"{module}.{name}: {HINT}"
    for attribute in attributes:
        assert hasattr(found, attribute), f"{module}.{name}.{attribute}: {HINT}"


def test_library_takes_what_it_is_given() -> None:
    verifier = importlib.import_module("sigstore.verify").Verifier
    assert "trusted_root" in inspect.signature(verifier).parameters, HINT
    root = TrustRoot(SigstoreInstance().trusted_root())
    assert root.verifier is not None
    assert [len(root.logs), len(root.certificate_logs)] == [1, 1], HINT
    assert [len(each.certificates) for each in root.issuers] == [2], HINT
    assert root.logs[0].in_use.start is not None, HINT


@pytest.mark.parametrize("failure", [TypeError, AttributeError])
def test_library_that_takes_it_no_more_is_an_authority_that_cannot_be_used(
    failure: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def moved(*_: object, **__: object) -> None:
        raise failure("it takes other arguments now")

    monkeypatch.setattr(trust_root_module, "Verifier", moved)
    with pytest.raises(AuthorityError, match="the installed sigstore library"):
        TrustRoot(SigstoreInstance().trusted_root())


def imports() -> Iterator[tuple[str, str]]:
    """Every module that a source file of ours imports."""
    for path in sorted(SOURCES.rglob("*.py")):
        where = str(path.relative_to(SOURCES))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((where, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield where, node.module


def test_only_two_modules_know_the_library_and_nothing_private_of_it() -> None:
    of_sigstore = {
        (where, name) for where, name in imports() if name.split(".")[0].startswith("sigstore")
    }
    assert {where for where, _ in of_sigstore} == {
        "core/verify/keyless.py",
        "core/verify/trust_root.py",
    }
    assert not [name for _, name in of_sigstore if "._" in name]
