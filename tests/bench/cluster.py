"""An API server that only lists: a cluster of a given size for a webhook to start in."""

import asyncio
import sys
from typing import Any

from aiohttp import web

from weighmaster.core.evaluate.records import new_record, record_name

Json = dict[str, Any]

API = "weighmaster.dev/v1alpha1"
AUTHORITIES = tuple(f"{n:016x}" for n in range(4))


def record(number: int) -> Json:
    """A pinned model's record as the controller writes it: most are signed by nobody."""
    reference = f"hf://org-{number % 500}/model-{number}@{number:040x}"
    stored = new_record(reference)
    stored["metadata"] |= {
        "uid": f"00000000-0000-4000-8000-{number:012}",
        "resourceVersion": str(1000 + number),
        "generation": 1,
        "creationTimestamp": "2026-11-01T00:00:00Z",
        "annotations": {"weighmaster.dev/last-used": "2026-11-24"},
        "managedFields": [
            {
                "manager": "weighmaster",
                "operation": "Update",
                "apiVersion": API,
                "time": "2026-11-24T10:00:00Z",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:status": {f"f:{name}": {} for name in "abcdefghijklmnop"}},
                "subresource": "status",
            }
        ],
    }
    stored["status"] = {
        "state": "Resolved",
        "resolved": reference,
        "manifestDigest": f"sha256:{number:064x}",
        "publisher": f"org-{number % 500}",
        "jurisdiction": "US",
        "license": ("Apache-2.0", "MIT", "LicenseRef-llama3.1")[number % 3],
        "remoteCode": False,
        "baseModels": [f"hf://org-{number % 7}/base-{number % 50}"],
        "lineageKnown": True,
        "sizeBytes": 15_000_000_000 + number,
        "formats": [
            {"format": "safetensors", "files": 4, "bytes": 15_000_000_000 + number,
             "basis": "fetched"}
        ],
        "authorities": [
            {"id": key, "verified": False, "reason": "NotSigned",
             "message": "the model has no signature"}
            for key in AUTHORITIES
        ],
        "failures": [],
        "fetchedAt": "2026-11-24T10:00:00Z",
        "observedGeneration": 1,
        "conditions": [
            {"type": "Ready", "status": "True", "reason": "Resolved",
             "message": "evidence gathered", "lastTransitionTime": "2026-11-01T00:00:00Z"}
        ],
    }  # fmt: skip
    return stored


def policy(number: int) -> Json:
    """A policy of a team's, for its own namespace."""
    return {
        "apiVersion": API,
        "kind": "ClusterModelPolicy",
        "metadata": {"name": f"policy-{number}", "uid": str(number), "generation": 1},
        "spec": {
            "match": {"namespaceSelector": {"matchLabels": {"team": f"team-{number}"}}},
            "enforcement": {"action": "Deny", "onUnknown": "Warn"},
            "rules": [
                {"name": "known", "reference": {"require": ["Known", "Pinned"]}},
                {
                    "name": "origin",
                    "origin": {
                        "publishers": {"allow": [f"org-{n}" for n in range(8)]},
                        "assurance": "Namespace",
                    },
                },
                {"name": "signed", "signature": {"authorities": [{"publisher": {}}]}},
                {"name": "licence", "license": {"allow": ["Apache-2.0", "MIT"]}},
                {
                    "name": "size",
                    "expression": {
                        "cel": "!model.reference.contains('huge') || model.role == 'base'",
                        "message": "not that large",
                    },
                },
            ],
        },
    }


def namespace(number: int) -> Json:
    """A namespace of a team."""
    return {"metadata": {"name": f"ns-{number}", "labels": {"team": f"team-{number}"}}}


def build(records: int, policies: int) -> web.Application:
    """A cluster with so many records and policies."""
    collections = {
        "modelrecords": [record(number) for number in range(records)],
        "clustermodelpolicies": [policy(number) for number in range(policies)],
        "namespaces": [namespace(number) for number in range(policies)],
    }

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" in request.query:
            await asyncio.sleep(3600)
        items = collections.get(request.path.rpartition("/")[2], [])
        start, limit = int(request.query.get("continue", "0")), int(request.query["limit"])
        metadata: Json = {"resourceVersion": "5000"}
        if start + limit < len(items):
            metadata["continue"] = str(start + limit)
        return web.json_response({"metadata": metadata, "items": items[start : start + limit]})

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    return application


if __name__ == "__main__":
    port, count, rules = map(int, sys.argv[1:])
    assert record(1)["metadata"]["name"] == record_name(record(1)["spec"]["reference"])
    web.run_app(build(count, rules), host="127.0.0.1", port=port, print=None)
