"""Incidents: verifications that failed, in words that say what to do. Pure."""

from hashlib import sha256

from weighmaster.core.mounted import Result
from weighmaster.outcomes.reports import Report
from weighmaster.quarantine.incidents import Incident

REFUSED, FAILED = "WeightsRefused", "VerificationFailed"
"""Reasons of events."""


def incident(report: Report) -> Incident | None:
    """What has to be told of a report; None when all was as expected."""
    verdict = report.verdict
    if verdict.result is Result.VERIFIED:
        return None
    where = f" at {verdict.store}" if verdict.store and verdict.store != verdict.reference else ""
    about = f"{verdict.reference}{where}" if verdict.reference else "the weights"
    if verdict.result is Result.REFUSED:
        reason = REFUSED
        message = f"{about}: {verdict.message} [{verdict.reason}]; its servers do not start"
    else:
        reason = FAILED
        message = (
            f"{about} could not be verified: {verdict.message}; see the log of {report.container}"
        )
    return Incident(
        namespace=report.namespace,
        about=report.pod,
        reason=reason,
        message=message,
        which=sha256(message.encode("utf-8", "replace")).hexdigest()[:16],
        owner=report.owner,
    )
