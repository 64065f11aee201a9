"""Reports of pods in which models were downloaded: both containers of ours are heard."""

from datetime import timedelta
from typing import Any

from tests.unit.core.builders import NOW
from tests.unit.enforce.test_staging import POLICIES, formed, pod, server
from tests.unit.enforce.test_verification import COMMIT, fetch
from weighmaster.api.v1alpha1.record import ContentOutcome
from weighmaster.core import mounted, staged
from weighmaster.core.installation import LOCAL
from weighmaster.core.mounted import Result, Verdict, Weighed, encode_verdict
from weighmaster.outcomes.entries import Known, due
from weighmaster.outcomes.incidents import FAILED, REFUSED, incident
from weighmaster.outcomes.reports import Report, Reports, read_reports

Json = dict[str, Any]

AT = NOW - timedelta(minutes=5)
BASE, LORA = (f"hf://{name}@{COMMIT}" for name in ("acme/base", "acme/lora"))
DOWNLOADED = Verdict(result=Result.VERIFIED, verified=(Weighed(reference=BASE, files=3, bytes=10),))
FLIPPED = Verdict(
    result=Result.REFUSED,
    reason="Mismatch",
    message='1 files differ: "model.safetensors"',
    reference=BASE,
    files=("model.safetensors",),
)
CUT_OFF = Verdict(result=Result.FAILED, message="the hub does not answer", reference=BASE)


def ended(**verdicts: Verdict) -> Json:
    """A pod that downloads one model and verifies another, by what its containers said."""
    mounts = [{"name": "weights", "mountPath": "/models"}]
    arguments = ("--model=acme/base", "--lora-modules=x=/models/lora")
    made = pod([server("one", *arguments, volumeMounts=mounts)], [fetch("acme/lora", "lora")])
    made["spec"]["volumes"] = [{"name": "weights", "emptyDir": {}}]
    made = formed(made, *POLICIES)
    made["metadata"] |= {"namespace": "default", "uid": "u"}
    made["status"] = {
        "initContainerStatuses": [
            {"name": f"weighmaster-{name}", "state": {"terminated": _end(verdict)}}
            for name, verdict in verdicts.items()
        ]
    }
    return made


def _end(verdict: Verdict) -> Json:
    return {"finishedAt": AT.isoformat(), "message": encode_verdict(verdict).decode()}


def report(verdict: Verdict) -> Report:
    (found,) = read_reports(ended(stage=verdict), LOCAL.image)
    return found


def test_what_was_downloaded_is_told_beside_what_was_verified() -> None:
    verified = Verdict(result=Result.VERIFIED, verified=(Weighed(reference=LORA),))
    found = read_reports(ended(stage=DOWNLOADED, verify=verified), LOCAL.image)
    assert [(each.container, each.verdict) for each in found] == [
        (staged.CONTAINER, DOWNLOADED),
        (mounted.CONTAINER, verified),
    ]


def test_a_container_that_only_has_the_name_is_not_believed() -> None:
    stored = ended(stage=DOWNLOADED)
    for container in stored["spec"]["initContainers"]:
        if container["name"] == staged.CONTAINER:
            container["command"] = ["sh", "-c", "cat forged > /dev/termination-log"]
    assert read_reports(stored, LOCAL.image) == ()


def test_records_of_models_say_that_they_were_downloaded_or_refused() -> None:
    known = {BASE: Known("base", BASE)}
    for verdict, outcome in ((DOWNLOADED, "Verified"), (FLIPPED, "Refused")):
        (written,) = due([report(verdict)], known)
        (entry,) = written.entries
        assert (written.name, entry.outcome) == ("base", ContentOutcome(outcome))
    assert due([report(FLIPPED)], {}) == []  # no place that outlives the pod is at fault


def test_a_refused_download_is_told_with_its_file() -> None:
    told = incident(report(FLIPPED))
    assert told is not None
    assert told.reason == REFUSED
    assert "model.safetensors" in told.message


def test_a_download_that_failed_is_told_with_the_container_that_has_the_log() -> None:
    told = incident(report(CUT_OFF))
    assert told is not None
    assert (told.reason, told.message.rpartition(" ")[2]) == (FAILED, staged.CONTAINER)


def test_a_pod_that_says_nothing_any_more_is_forgotten() -> None:
    changes: list[int] = []
    reports = Reports(LOCAL.image, lambda: changes.append(1))
    reports.replace("pods", [reports.keep(ended(stage=DOWNLOADED))])
    assert len(list(reports)) == 1
    reports.update("pods", reports.keep(ended()))
    assert list(reports) == []
    reports.update("pods", reports.keep(ended(stage=FLIPPED)))
    assert [each.verdict for each in reports] == [FLIPPED]
    assert len(changes) == 2
