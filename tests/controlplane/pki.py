"""The certificates and keys of one control plane: one CA, good for a month."""

import datetime
import ipaddress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME = datetime.timedelta(days=30)
_CLOCK_SKEW = datetime.timedelta(minutes=5)
SERVICE_IP_RANGE = "10.0.0.0/24"
_SERVICE_IP = "10.0.0.1"
"""First address of the service range: the `kubernetes` Service."""


@dataclass(frozen=True)
class KeyPair:
    """A PEM certificate and its PEM key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Pki:
    """What the components and their clients are told to use."""

    authority: KeyPair
    serving: KeyPair
    admin: KeyPair
    controller_manager: KeyPair
    service_account_key: Path


class _Authority:
    """Issues certificates into a directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("weighmaster-tests-ca")
        certificate = (
            _builder(self._name, self._key.public_key(), issuer=self._name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(signs_certificates=True), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.pair = self._write("ca", certificate, self._key)

    def issue_client(self, file: str, user: str, group: str | None = None) -> KeyPair:
        return self._issue(file, _name(user, group), ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def issue_serving(self, file: str, names: x509.SubjectAlternativeName) -> KeyPair:
        return self._issue(file, _name(file), ExtendedKeyUsageOID.SERVER_AUTH, names)

    def _issue(
        self,
        file: str,
        subject: x509.Name,
        usage: x509.ObjectIdentifier,
        names: x509.SubjectAlternativeName | None,
    ) -> KeyPair:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, key.public_key(), issuer=self._name)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return self._write(file, builder.sign(self._key, hashes.SHA256()), key)

    def _write(
        self, file: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
    ) -> KeyPair:
        pair = KeyPair(self._directory / f"{file}.crt", self._directory / f"{file}.key")
        pair.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        _write_key(pair.key, key)
        return pair


def make_pki(directory: Path) -> Pki:
    """Fresh keys and certificates, as files in `directory`, which is made."""
    directory.mkdir(mode=0o700)
    authority = _Authority(directory)
    service_account_key = directory / "service-account.key"
    _write_key(service_account_key, ec.generate_private_key(ec.SECP256R1()))
    serving_names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.DNSName("kubernetes.default.svc"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address(_SERVICE_IP)),
        ]
    )
    return Pki(
        authority=authority.pair,
        serving=authority.issue_serving("kube-apiserver", serving_names),
        admin=authority.issue_client("admin", "weighmaster-tests", "system:masters"),
        controller_manager=authority.issue_client(
            "kube-controller-manager", "system:kube-controller-manager"
        ),
        service_account_key=service_account_key,
    )


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    """Kubernetes reads the common name as the user and the organization as a group."""
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _builder(
    subject: x509.Name, key: ec.EllipticCurvePublicKey, *, issuer: x509.Name
) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _LIFETIME)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            # The only format that the controller manager accepts for its signing key as well.
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )
    )
