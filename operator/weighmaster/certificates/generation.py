"""Generations: a CA whose key nobody keeps, and the serving certificate that it signed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

ORGANIZATION = "weighmaster.dev"
"""Organization in the subject of our CAs: what another has issued is not ours to replace."""

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
"""What reading somebody's certificate or key may raise."""

BACKDATED = timedelta(hours=1)
"""How far the clock of an API server may be behind ours."""


class Generation(Struct, frozen=True):
    """PEM texts: a CA's certificate, the serving certificate that it signed, and that one's key."""

    authority: str
    certificate: str
    key: str

    def __repr__(self) -> str:
        """Without the key: it may end up in a traceback or a log."""
        return f"Generation({len(self.certificate)} bytes)"

    __str__ = __repr__


class Authority(Struct, frozen=True):
    """A CA certificate as a webhook configuration trusts it."""

    pem: str
    fingerprint: str
    not_after: datetime


class Facts(Struct, frozen=True):
    """What a stored generation says about itself. ``ours`` is whether we have issued it."""

    authority: Authority
    issued_at: datetime
    not_after: datetime
    ours: bool
    problem: str | None = None


def issue(names: Sequence[str], now: datetime, lifetime: timedelta) -> Generation:
    """A new generation for DNS names and IP addresses (RFC 5280)."""
    authority_key = ec.generate_private_key(ec.SECP256R1())
    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own for each: clients look for a certificate's issuer by name.
    serial = x509.random_serial_number()
    issuer = _name(f"weighmaster webhook CA {serial:x}"[:64])
    authority = (
        _builder(issuer, authority_key.public_key(), issuer, now, lifetime)
        .serial_number(serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .sign(authority_key, hashes.SHA256())
    )
    certificate = (
        _builder(_name("weighmaster webhook"), key.public_key(), issuer, now, lifetime)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(_general_names(names)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()),
            critical=False,
        )
        .sign(authority_key, hashes.SHA256())
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return Generation(_pem(authority), _pem(certificate), secret.decode())


def inspect(generation: Generation, names: Iterable[str], now: datetime) -> Facts | None:
    """What a generation is and why it cannot be served, if so; None when it cannot be read.

    It can be served when the certificate is signed by the CA, matches its key, is for all the names
    and neither has expired.
    """
    try:
        authority = x509.load_pem_x509_certificate(generation.authority.encode())
        certificate = x509.load_pem_x509_certificate(generation.certificate.encode())
        public = certificate.public_key()
    except _UNREADABLE:
        return None
    return Facts(
        authority=_authority(authority),
        issued_at=certificate.not_valid_before_utc + BACKDATED,
        not_after=certificate.not_valid_after_utc,
        ours=_organization(certificate.issuer) == ORGANIZATION,
        problem=(
            _not_signed(certificate, authority)
            or _other_key(generation.key, public)
            or _other_names(certificate, names)
            or _out_of_date(certificate, authority, now)
        ),
    )


def authorities(bundle: str) -> tuple[Authority, ...] | None:
    """The certificates of a PEM bundle, each once; None when it cannot be read."""
    try:
        found = x509.load_pem_x509_certificates(bundle.encode()) if bundle.strip() else []
    except _UNREADABLE:
        return None
    return tuple({each.fingerprint: each for each in map(_authority, found)}.values())


def _not_signed(certificate: x509.Certificate, authority: x509.Certificate) -> str | None:
    try:
        certificate.verify_directly_issued_by(authority)
    except (*_UNREADABLE, InvalidSignature):
        return "it is not signed by its CA"
    return None


def _other_key(key: str, public: object) -> str | None:
    try:
        loaded = serialization.load_pem_private_key(key.encode(), password=None)
    except _UNREADABLE:
        return "its key cannot be read"
    return None if loaded.public_key() == public else "its key is another one's"


def _other_names(certificate: x509.Certificate, names: Iterable[str]) -> str | None:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        found = {str(name.value) for name in extension.value}
    except (*_UNREADABLE, x509.ExtensionNotFound):
        found = set()
    missing = sorted(set(names) - found)
    return f"it is not for {', '.join(missing)}" if missing else None


def _out_of_date(
    certificate: x509.Certificate, authority: x509.Certificate, now: datetime
) -> str | None:
    for each in (certificate, authority):
        if now >= each.not_valid_after_utc:
            return "it has expired"
        if now < each.not_valid_before_utc:
            return "it is not valid yet"
    return None


def _authority(certificate: x509.Certificate) -> Authority:
    return Authority(
        pem=_pem(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
        not_after=certificate.not_valid_after_utc,
    )


def _organization(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    return str(found[0].value) if found else ""


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, ORGANIZATION),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _general_names(names: Iterable[str]) -> list[x509.GeneralName]:
    return [_general_name(name) for name in names]


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    subject: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    issuer: x509.Name,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
