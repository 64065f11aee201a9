"""Assessment: what a model's files are known by in its record."""

import hashlib

import pytest

from tests.signing.bundles import MODEL
from tests.unit.core.test_assess import KEY, file_facts, signed_evidence, status_of
from weighmaster.core.evidence import Basis, Evidence, FileFact, Gap, GapReason
from weighmaster.core.verify.loadable import fingerprints, loadable_digest


def test_a_model_is_known_by_the_files_that_may_be_loaded() -> None:
    status = status_of(signed_evidence(KEY))
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in MODEL.items()}
    assert status.loadable_digest == loadable_digest(digests)
    assert status.fingerprints == fingerprints(digests)
    assert status.loadable_digest != status.manifest_digest


@pytest.mark.parametrize(
    "gap",
    [GapReason.LISTING_INCOMPLETE, GapReason.ARCHIVE_NOT_OPENED, GapReason.PLATFORMS_NOT_READ],
)
def test_files_that_nobody_has_looked_at_leave_no_digest_of_the_whole(gap: GapReason) -> None:
    status = status_of(signed_evidence(KEY, gaps=(Gap(gap, "some"),)))
    assert (status.loadable_digest, status.fingerprints) == (None, None)


def test_one_unknown_digest_leaves_no_digest_of_the_whole_unless_nobody_loads_the_file() -> None:
    def having(name: str) -> Evidence:
        unknown = FileFact(name, 1, None, Basis.FETCHED)
        return signed_evidence(KEY, files=(*file_facts(MODEL), unknown))

    assert status_of(having("more.safetensors")).loadable_digest is None
    assert status_of(having("video.mp4")).loadable_digest is not None


def test_names_that_no_file_can_have_and_names_given_twice_leave_no_digest() -> None:
    for facts in (
        (FileFact("\ud800.bin", 1, "a" * 64, Basis.FETCHED),),
        (FileFact("a.bin", 1, "a" * 64, Basis.FETCHED),) * 2,
        (),
    ):
        assert status_of(signed_evidence(KEY, files=facts)).loadable_digest is None
