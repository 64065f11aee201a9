"""Whom a certificate of Fulcio's names: the subject, and the OIDC issuer that vouched for it.

https://github.com/sigstore/fulcio/blob/main/docs/oid-info.md
"""

from cryptography import x509
from cryptography.hazmat import asn1

from weighmaster.core.verify.chains import identities_of
from weighmaster.core.verify.strict_json import malformed

_ISSUER_V1 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.1")
_ISSUER_V2 = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.8")
_OTHER_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.57264.1.7")


def subject_of(leaf: x509.Certificate) -> str:
    """The one SAN of a Fulcio certificate; raises VerificationError when there is not one."""
    names = identities_of(leaf) if _has_alternatives(leaf) else ()
    if not names:
        names = _other_names(leaf)
    if len(names) != 1:
        raise malformed("the signing certificate names nobody, or several")
    return names[0]


def issuer_of(leaf: x509.Certificate) -> str:
    """The OIDC issuer; both extensions for it must agree where both are there.

    Raises VerificationError when there is not one.
    """
    found = set()
    for extension in leaf.extensions:
        value = extension.value
        if not isinstance(value, x509.UnrecognizedExtension):
            continue
        try:
            if extension.oid == _ISSUER_V1:
                found.add(value.value.decode())
            elif extension.oid == _ISSUER_V2:
                found.add(asn1.decode_der(str, value.value))
        except ValueError:
            raise malformed("the issuer in the signing certificate is not a text") from None
    if len(found) != 1:
        raise malformed("the signing certificate names no issuer, or several")
    return found.pop()


def _has_alternatives(leaf: x509.Certificate) -> bool:
    return any(isinstance(each.value, x509.SubjectAlternativeName) for each in leaf.extensions)


def _other_names(leaf: x509.Certificate) -> tuple[str, ...]:
    """Usernames, which Fulcio writes as otherName."""
    try:
        value = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return tuple(
            asn1.decode_der(str, other.value)
            for other in value.get_values_for_type(x509.OtherName)
            if other.type_id == _OTHER_NAME
        )
    except (x509.ExtensionNotFound, ValueError):
        return ()
