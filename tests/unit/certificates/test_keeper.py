"""The keeper against a cluster that is slow, fails, and is edited by others."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.certificates.cluster import (
    MUTATING,
    NAME,
    SECRET,
    START,
    TIMING,
    VALIDATING,
    Cluster,
    configuration,
    entry,
    fingerprint,
    trusted,
)
from weighmaster.certificates.generation import issue
from weighmaster.certificates.plan import Step
from weighmaster.certificates.stored import (
    ISSUED_AFTER,
    MANAGED,
    RETIRING,
    _encoded,
    read_trust,
    with_trust,
)
from weighmaster.errors import ClusterError

DAY = timedelta(days=1)
CONFIGURATIONS = (MUTATING, VALIDATING)


async def installed() -> tuple[Cluster, str]:
    """A cluster with a first certificate, and its CA's fingerprint."""
    cluster = Cluster()
    await cluster.keeper().check()
    return cluster, fingerprint(entry(cluster.objects[SECRET], "ca.crt"))


def assert_trusts(cluster: Cluster, *wanted: str) -> None:
    for path in CONFIGURATIONS:
        assert all(found == set(wanted) for found in trusted(cluster.objects[path]))


async def test_first_install_ends_with_a_certificate_that_every_webhook_trusts() -> None:
    cluster, first = await installed()
    secret = cluster.objects[SECRET]
    assert entry(secret, "tls.crt").startswith("-----BEGIN CERTIFICATE")
    assert entry(secret, "tls.key").startswith("-----BEGIN PRIVATE KEY")
    assert entry(secret, "next.crt") == ""
    assert secret["metadata"]["labels"] == dict([MANAGED])
    assert_trusts(cluster, first)


async def test_certificate_is_trusted_before_it_can_be_mounted() -> None:
    cluster, _ = await installed()
    writes = [path for verb, path in cluster.requests if verb in ("create", "update")]
    assert writes.index(MUTATING) < writes.index(VALIDATING) < len(writes) - 1
    assert writes[-1] == SECRET
    staged, served = (secret for _, secret in cluster.history[SECRET] if secret)
    assert not entry(staged, "tls.crt")
    assert entry(served, "tls.crt")


async def test_secret_that_the_chart_made_is_filled_and_keeps_what_it_has() -> None:
    cluster = Cluster()
    metadata = {
        "name": "serving",
        "labels": {**dict([MANAGED]), "a": "b"},
        "annotations": {"c": "d"},
    }
    cluster.put(SECRET, {"type": "Opaque", "metadata": metadata, "data": {"more": "YQ=="}})
    await cluster.keeper().check()
    secret = cluster.objects[SECRET]
    assert secret["metadata"]["labels"] == metadata["labels"]
    assert secret["metadata"]["annotations"] == {"c": "d"}
    assert secret["data"].keys() == {"more", "ca.crt", "tls.crt", "tls.key"}


async def test_nothing_is_written_while_all_is_well() -> None:
    cluster, _ = await installed()
    keeper = cluster.keeper()
    cluster.requests.clear()
    for _ in range(5):
        plan = await keeper.check()
        assert plan.step is Step.WAIT
        assert plan.until == START + TIMING.lifetime - TIMING.renew_before
    assert {verb for verb, _ in cluster.requests} == {"get"}


async def test_rotation_trusts_both_then_serves_the_new_one_then_forgets_the_old_one() -> None:
    cluster, old = await installed()
    keeper = cluster.keeper()
    served = entry(cluster.objects[SECRET], "tls.crt")
    cluster.now += TIMING.lifetime - TIMING.renew_before
    await keeper.check()
    secret = cluster.objects[SECRET]
    new = fingerprint(entry(secret, "next-ca.crt"))
    assert entry(secret, "tls.crt") == served
    assert_trusts(cluster, old, new)
    cluster.now += TIMING.settle - timedelta(seconds=1)
    await keeper.check()
    assert entry(cluster.objects[SECRET], "tls.crt") == served
    cluster.now += timedelta(seconds=1)
    await keeper.check()
    secret = cluster.objects[SECRET]
    assert fingerprint(entry(secret, "ca.crt")) == new
    assert entry(secret, "next.crt") == ""
    assert_trusts(cluster, old, new)
    cluster.now += TIMING.retire - timedelta(seconds=1)
    await keeper.check()
    assert_trusts(cluster, old, new)
    cluster.now += timedelta(seconds=1)
    await keeper.check()
    assert_trusts(cluster, new)
    for path in CONFIGURATIONS:
        annotations = cluster.objects[path]["metadata"]["annotations"]
        assert annotations == {"meta.helm.sh/release-name": "w"}


async def test_configuration_that_was_made_anew_gets_its_time_to_settle_too() -> None:
    cluster, _ = await installed()
    keeper = cluster.keeper()
    served = entry(cluster.objects[SECRET], "tls.crt")
    cluster.now += TIMING.lifetime - TIMING.renew_before
    await keeper.check()
    cluster.now += TIMING.settle - timedelta(seconds=1)
    cluster.put(MUTATING, configuration("mutating"))
    await keeper.check()
    cluster.now += TIMING.settle - timedelta(seconds=1)
    await keeper.check()
    assert entry(cluster.objects[SECRET], "tls.crt") == served
    cluster.now += timedelta(seconds=1)
    await keeper.check()
    assert entry(cluster.objects[SECRET], "tls.crt") != served


async def test_rotation_can_be_asked_for() -> None:
    cluster, old = await installed()
    keeper = cluster.keeper()
    cluster.now += DAY
    secret = cluster.objects[SECRET]
    secret["metadata"]["annotations"] = {ISSUED_AFTER: cluster.now.isoformat()}
    await keeper.check()
    cluster.now += TIMING.settle
    await keeper.check()
    new = fingerprint(entry(cluster.objects[SECRET], "ca.crt"))
    assert new != old
    cluster.now += DAY
    await keeper.check()
    assert fingerprint(entry(cluster.objects[SECRET], "ca.crt")) == new


@pytest.mark.parametrize("what", ["emptied", "replaced", "made anew"])
async def test_trust_that_somebody_took_away_is_put_back(what: str) -> None:
    cluster, first = await installed()
    stored = cluster.objects[MUTATING]
    match what:
        case "emptied":
            del stored["webhooks"][0]["clientConfig"]["caBundle"]
        case "replaced":
            other = issue([NAME], START, 9 * DAY).authority
            stored["webhooks"][0]["clientConfig"]["caBundle"] = _encoded(other)
        case "made anew":
            cluster.remove(MUTATING)
            cluster.put(MUTATING, configuration("mutating"))
    await cluster.keeper().check()
    assert first in trusted(cluster.objects[MUTATING])[0]


async def test_configurations_that_are_not_there_hold_up_nothing() -> None:
    cluster = Cluster(registered=False)
    await cluster.keeper().check()
    assert entry(cluster.objects[SECRET], "tls.crt")
    cluster.put(VALIDATING, configuration("validating"))
    await cluster.keeper().check()
    assert trusted(cluster.objects[VALIDATING]) == [
        {fingerprint(entry(cluster.objects[SECRET], "ca.crt"))}
    ]


async def test_secret_without_our_label_is_never_written_and_its_ca_is_trusted() -> None:
    cluster = Cluster()
    theirs = issue([NAME], START - 8 * DAY, 9 * DAY)
    data = {
        "ca.crt": _encoded(theirs.authority),
        "tls.crt": _encoded(theirs.certificate),
        "tls.key": _encoded(theirs.key),
    }
    cluster.put(SECRET, {"metadata": {"name": "serving"}, "data": data})
    await cluster.keeper().check()
    assert cluster.objects[SECRET]["data"] == data
    assert len(cluster.history[SECRET]) == 1
    assert_trusts(cluster, fingerprint(theirs.authority))


async def test_certificate_of_another_issuer_is_never_overwritten_even_under_our_label(
    own_ca: tuple[str, str, str],
) -> None:
    cluster, _ = await installed()
    authority, certificate, key = own_ca
    stored = cluster.objects[SECRET]
    theirs = {"tls.crt": _encoded(certificate), "tls.key": _encoded(key)}
    theirs["ca.crt"] = _encoded(authority)
    cluster.put(SECRET, {**stored, "data": theirs})
    cluster.now += 30 * DAY
    await cluster.keeper().check()
    assert cluster.objects[SECRET]["data"] == theirs
    assert fingerprint(authority) in trusted(cluster.objects[MUTATING])[0]


async def test_bundle_that_cert_manager_injects_is_left_to_it() -> None:
    cluster = Cluster()
    stored = configuration("mutating")
    stored["metadata"]["annotations"]["cert-manager.io/inject-ca-from"] = "a/b"
    cluster.put(MUTATING, stored)
    await cluster.keeper().check()
    assert len(cluster.history[MUTATING]) == 2
    assert "caBundle" not in cluster.objects[MUTATING]["webhooks"][0]["clientConfig"]


async def test_certificate_for_another_name_is_replaced_at_once() -> None:
    cluster = Cluster()
    wrong = issue(["other.svc"], START, 9 * DAY)
    parts = {"ca.crt": wrong.authority, "tls.crt": wrong.certificate, "tls.key": wrong.key}
    data = {name: _encoded(part) for name, part in parts.items()}
    cluster.put(SECRET, {"metadata": {"name": "serving", "labels": dict([MANAGED])}, "data": data})
    await cluster.keeper().check()
    assert entry(cluster.objects[SECRET], "tls.crt") != wrong.certificate


@pytest.mark.parametrize("text", ["junk", "[]", '{"a": 1}', '{"a": "yesterday"}', "[" * 5000])
async def test_record_of_retirement_that_cannot_be_read_only_starts_it_anew(text: str) -> None:
    cluster, _ = await installed()
    cluster.objects[MUTATING]["metadata"]["annotations"][RETIRING] = text
    assert read_trust(cluster.objects[MUTATING]).retiring == {}
    await cluster.keeper().check()
    assert RETIRING not in cluster.objects[MUTATING]["metadata"]["annotations"]


async def test_webhook_configuration_keeps_everything_else() -> None:
    before = configuration("a", "b")
    before["webhooks"][0]["rules"] = [{"operations": ["CREATE"]}]
    after = with_trust(before, read_trust(before))
    for webhook in after["webhooks"]:
        assert webhook["clientConfig"].pop("caBundle") == ""
    assert after == before


FAULTS = st.lists(
    st.tuples(
        st.sampled_from(["nothing", "restart", "refuse", "lose the secret", "ask"]),
        st.sampled_from(["get", "create", "update"]),
        st.sampled_from([SECRET, MUTATING, VALIDATING]),
        st.sampled_from([5, 30, 61, 3600, 7200, 86400, 3 * 86400]),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=30, deadline=None)
@given(FAULTS)
async def test_whatever_happens_nobody_serves_what_somebody_does_not_trust(
    faults: list[tuple[str, str, str, int]],
) -> None:
    """Kubelets and API servers that are late, requests that fail, leaders that change.

    A kubelet is late by less than the time for which former CAs stay trusted, an API server by less
    than the time that a new one has to settle.
    """
    cluster, _ = await installed()
    cluster.now += timedelta(minutes=5)
    keeper = cluster.keeper()
    for fault, verb, path, seconds in faults:
        cluster.fail = lambda *_: False
        match fault:
            case "restart":
                keeper = cluster.keeper()
            case "refuse":
                refused = (verb, path)
                cluster.fail = lambda *asked, refused=refused: asked == refused
            case "lose the secret":
                cluster.remove(SECRET)
            case "ask" if SECRET in cluster.objects:
                annotated = cluster.objects[SECRET]
                annotated["metadata"]["annotations"] = {ISSUED_AFTER: cluster.now.isoformat()}
        # Every five seconds at first, as it runs; then a long while in one step.
        for pause in (*[5] * 14, seconds):
            try:
                await keeper.check()
            except ClusterError:
                assert fault == "refuse"
            assert_nobody_is_refused(cluster)
            cluster.now += timedelta(seconds=pause)


def expiry(chain: str) -> datetime:
    """When a certificate ends; after that nobody takes it, whatever is trusted."""
    return x509.load_pem_x509_certificate(chain.encode()).not_valid_after_utc


def assert_nobody_is_refused(cluster: Cluster) -> None:
    now = cluster.now
    served = {
        fingerprint(entry(secret, "ca.crt"))
        for secret in cluster.seen(SECRET, TIMING.retire - timedelta(minutes=2))
        if (chain := entry(secret, "tls.crt")) and now < expiry(chain)
    }
    lately = cluster.seen(SECRET, TIMING.settle)
    if any(now >= expiry(chain) for secret in lately if (chain := entry(secret, "tls.crt"))):
        return  # kept from renewing for days: nobody took what was served, so haste is right
    for path in CONFIGURATIONS:
        for registered in cluster.seen(path, TIMING.settle - timedelta(seconds=1)):
            for webhook in trusted(registered):
                missing = served - webhook
                assert not missing, f"{missing} is served at {now} but not trusted by {path}"
