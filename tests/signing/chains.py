"""Certificate chains, sound and unsound."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
"""The time that tests verify at."""

YEAR = timedelta(days=365)


def name(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "XX"),
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme, Models"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def usage(*, sign: bool = False, issue: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=issue,
        crl_sign=issue,
        encipher_only=False,
        decipher_only=False,
    )


class Party:
    """A key with a certificate, which may issue others."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key = key
        self.certificate = certificate

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()


class Request:
    """What a certificate shall say; change what a test is about and ``issue`` it."""

    def __init__(self, common_name: str, *, authority: bool = False) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.subject = name(common_name)
        self.since = NOW - YEAR
        self.until = NOW + YEAR
        self.hash: hashes.SHA224 | hashes.SHA256 = hashes.SHA256()
        self.extensions: dict[str, tuple[x509.ExtensionType, bool]] = {}
        self["constraints"] = x509.BasicConstraints(ca=authority, path_length=None)
        self["usage"] = usage(sign=not authority, issue=authority)
        if not authority:
            self["purpose"] = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING])

    def __setitem__(self, what: str, extension: x509.ExtensionType | None) -> None:
        self.extensions.pop(what, None)
        if extension is not None:
            critical = what in {"constraints", "usage"} or what.startswith("critical")
            self.extensions[what] = (extension, critical)

    def issue(self, issuer: Party | None = None) -> Party:
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(issuer.certificate.subject if issuer else self.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.since)
            .not_valid_after(self.until)
        )
        for extension, critical in self.extensions.values():
            builder = builder.add_extension(extension, critical=critical)
        signer = issuer.key if issuer else self.key
        return Party(self.key, builder.sign(signer, self.hash))


class Chain:
    """Root, intermediate and leaf for an identity."""

    def __init__(self, identity: str = "https://acme.example/signer", root: str = "Root") -> None:
        self.identity = identity
        self.root = Request(root, authority=True).issue()
        self.intermediate = Request("Intermediate", authority=True).issue(self.root)
        self.leaf_request = Request("Signer")
        self.leaf_request["names"] = x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(identity)]
        )

    def leaf(self) -> Party:
        return self.leaf_request.issue(self.intermediate)
