"""Reason codes: why a rule, or a whole request, came out as it did. One enum, each documented."""

from enum import StrEnum


class Reason(StrEnum):
    """A reason code; ``EXPLANATIONS`` says what each means and what to do about it."""

    SATISFIED = "Satisfied"
    EXCEPTED = "Excepted"
    NAMED_ELSEWHERE = "NamedElsewhere"

    FETCHED_ONLY = "FetchedOnly"
    DECIDED_ON_PODS = "DecidedOnPods"
    VERIFIED_BEFORE_START = "VerifiedBeforeStart"

    WEIGHTS_NOT_NAMED = "WeightsNotNamed"
    NOT_PINNED = "NotPinned"
    PIN_PENDING = "PinPending"
    NOT_REWRITABLE = "NotRewritable"
    OWNER_NOT_PINNED = "OwnerNotPinned"
    PUBLISHER_UNKNOWN = "PublisherUnknown"
    PUBLISHER_NOT_ALLOWED = "PublisherNotAllowed"
    PUBLISHER_DENIED = "PublisherDenied"
    JURISDICTION_NOT_ALLOWED = "JurisdictionNotAllowed"
    JURISDICTION_DENIED = "JurisdictionDenied"
    FORMAT_NOT_ALLOWED = "FormatNotAllowed"
    REMOTE_CODE = "RemoteCode"
    RUNTIME_ADAPTERS = "RuntimeAdapters"
    ORIGIN_OVERRIDDEN = "OriginOverridden"
    EXPRESSION_FALSE = "ExpressionFalse"
    MUTABLE_REFERENCE = "MutableReference"
    NOT_SIGNED = "NotSigned"
    NOT_ATTESTED = "NotAttested"
    PREDICATE_FALSE = "PredicateFalse"
    LICENSE_NOT_ALLOWED = "LicenseNotAllowed"
    LINEAGE_UNKNOWN = "LineageUnknown"
    DOWNLOADED_BY_SERVER = "DownloadedByServer"
    NOT_STAGEABLE = "NotStageable"
    VERIFICATION_PENDING = "VerificationPending"
    NOT_VERIFIABLE = "NotVerifiable"
    VERIFICATION_INCOMPLETE = "VerificationIncomplete"
    VERIFICATION_PROTECTED = "VerificationProtected"
    CONTENT_REFUSED = "ContentRefused"

    EVIDENCE_NOT_AVAILABLE = "EvidenceNotAvailable"
    EVIDENCE_PENDING = "EvidencePending"
    UNDECIDABLE = "Undecidable"
    PUBLISHER_MISSING = "PublisherMissing"
    JURISDICTION_UNKNOWN = "JurisdictionUnknown"
    FORMAT_UNKNOWN = "FormatUnknown"
    SETTING_UNKNOWN = "SettingUnknown"
    EXPRESSION_ERROR = "ExpressionError"
    PREDICATE_NOT_READ = "PredicateNotRead"
    POLICY_UNUSABLE = "PolicyUnusable"

    SANDBOX_PROFILE_MISSING = "SandboxProfileMissing"
    SANDBOX_PROFILE_CONFLICT = "SandboxProfileConflict"
    SANDBOX_IMPOSSIBLE = "SandboxImpossible"
    SANDBOX_SECRETS = "SandboxSecrets"
    SANDBOX_INCOMPLETE = "SandboxIncomplete"
    SANDBOX_NETWORK_MISSING = "SandboxNetworkMissing"
    SANDBOX_NETWORK_OPEN = "SandboxNetworkOpen"
    SANDBOX_PROTECTED = "SandboxProtected"

    TOO_MANY_MODEL_USES = "TooManyModelUses"
    NOT_READY = "NotReady"
    OVERLOADED = "Overloaded"
    UNSUPPORTED_REQUEST = "UnsupportedRequest"
    MALFORMED_REQUEST = "MalformedRequest"
    REQUEST_TOO_LARGE = "RequestTooLarge"
    INTERNAL_ERROR = "InternalError"


EXPLANATIONS: dict[Reason, str] = {
    Reason.SATISFIED: "The rule holds.",
    Reason.EXCEPTED: "The rule does not hold, but a ModelException covers it.",
    Reason.NAMED_ELSEWHERE: (
        "Another object names the weights; that object, and the pods made from it, are checked."
    ),
    Reason.FETCHED_ONLY: (
        "The container only fetches the weights. They are verified in the pods that serve them."
    ),
    Reason.DECIDED_ON_PODS: (
        "The rule is about the bytes in pods, and only the pods show where these lie. They are"
        " checked when they are created."
    ),
    Reason.VERIFIED_BEFORE_START: (
        "The rule holds once the bytes are verified in the pod, before its server starts. Where the"
        " policy's action is Audit or Warn nothing is verified, and the rule is skipped."
    ),
    Reason.WEIGHTS_NOT_NAMED: (
        "The manifest serves a model but does not say which. Name it by a literal value: a value"
        " from a ConfigMap, a Secret, a script or an API call can change after admission."
    ),
    Reason.NOT_PINNED: (
        "The reference can move. Name a commit (`hf://org/name@<40 hex>`, `--revision`) or a digest"
        " (`@sha256:...`)."
    ),
    Reason.PIN_PENDING: (
        "The policy asks for the reference to be pinned by rewriting, and which commit or digest it"
        " stands for is being found out. Workloads are let through meanwhile with their pods"
        " refused, and are rewritten once it is known; what cannot be changed later has to be"
        " created again."
    ),
    Reason.NOT_REWRITABLE: (
        "The policy asks for the reference to be pinned by rewriting, but it is named in a way that"
        " has no place for a commit or digest, or that cannot be changed safely. The message says"
        " what to write instead."
    ),
    Reason.OWNER_NOT_PINNED: (
        "The policy asks for references to be pinned by rewriting, which is done in the object"
        " that pods are made from: pods of one Deployment never get different weights. That object"
        " was not pinned, for example because it is older than the policy. Apply it again."
    ),
    Reason.PUBLISHER_UNKNOWN: (
        "No ModelPublisher has the reference among its namespaces. Ask the security team to add"
        " one, or use a model of a publisher that is allowed."
    ),
    Reason.PUBLISHER_NOT_ALLOWED: "The publisher is not among those that the rule allows.",
    Reason.PUBLISHER_DENIED: "The publisher is one that the rule denies.",
    Reason.JURISDICTION_NOT_ALLOWED: (
        "The publisher's country is not among those that the rule allows."
    ),
    Reason.JURISDICTION_DENIED: "The publisher's country is one that the rule denies.",
    Reason.FORMAT_NOT_ALLOWED: (
        "The weights are in a format that the rule does not allow, judged by file name or by the"
        " runtime's loader setting. Convert them, or point to a file in an allowed format."
    ),
    Reason.REMOTE_CODE: (
        "Code that comes with the model may run (`--trust-remote-code` and its kin). Remove the"
        " setting; most models run without it."
    ),
    Reason.RUNTIME_ADAPTERS: (
        "Adapters can be loaded over the API after the start, unseen by admission. Name adapters in"
        " the manifest instead."
    ),
    Reason.ORIGIN_OVERRIDDEN: (
        "A setting such as `HF_ENDPOINT` makes references load from somewhere else, or one such as"
        " `REQUESTS_CA_BUNDLE` lets somebody else answer for the hub. Remove it, or have it"
        " approved."
    ),
    Reason.EXPRESSION_FALSE: "The rule's CEL expression is false for this model use.",
    Reason.MUTABLE_REFERENCE: (
        "The rule needs evidence, and evidence about a reference that can move proves nothing about"
        " what will be loaded. Pin the reference; the message has the form to write."
    ),
    Reason.NOT_SIGNED: (
        "No signature by an authority of the rule holds for the model's files. The message says"
        " what was found instead; the ModelRecord has every authority that was looked for."
    ),
    Reason.NOT_ATTESTED: (
        "No authority of the rule has attested this of the model, or of this very content. The"
        " message says what was found instead: somebody else's attestation, one of another model,"
        " one of only a part of the files."
    ),
    Reason.PREDICATE_FALSE: (
        "An authority of the rule has attested the model, and what it says is not what the rule's"
        " expression asks for. Every statement of the rule's authorities counts, so an older one"
        " that says something better does not help: have it attested anew."
    ),
    Reason.LICENSE_NOT_ALLOWED: (
        "The model's licence is not among those that the rule allows, or it states none."
    ),
    Reason.LINEAGE_UNKNOWN: (
        "The rule also asks for the models that this one was made from, and they are not all known."
        " Assert them in the ModelRecord."
    ),
    Reason.DOWNLOADED_BY_SERVER: (
        "The server fetches the weights itself, so that there is nothing to verify before it"
        " starts. Fetch them in an init container, or keep them on a volume, and give the server"
        " their path. A rule with `downloads: Stage` has Weighmaster do so."
    ),
    Reason.NOT_STAGEABLE: (
        "The rule has what servers fetch themselves downloaded and verified before they start, and"
        " here that cannot be: the model is named in a way that cannot be changed safely, the"
        " runtime has no documented form for a folder, or something could change the files"
        " afterwards. The message says what, and what to write instead."
    ),
    Reason.VERIFICATION_PENDING: (
        "The bytes are to be verified before start, and what they must be is being found out."
        " Workloads are let through meanwhile and their pods refused, so that they come up by"
        " themselves; a pod that nobody makes again has to be created again."
    ),
    Reason.NOT_VERIFIABLE: (
        "The bytes cannot be verified before start: nothing says what they must be, or something"
        " could change them, or show the server others, after they were verified. The message says"
        " what."
    ),
    Reason.VERIFICATION_INCOMPLETE: (
        "The pod lacks a part of what verifies its weights before start, or something was changed"
        " in it after Weighmaster. Look for another webhook that changes pods. A pod whose evidence"
        " arrived while it was admitted has to be created again, which its owner does by itself."
    ),
    Reason.VERIFICATION_PROTECTED: (
        "The update would take away from an existing pod what verifies its weights, or make them"
        " writable. Delete the pod and create it anew instead."
    ),
    Reason.CONTENT_REFUSED: (
        "An earlier pod has found other bytes on this volume than there should be. The ModelRecord"
        " has the files. Mend them, then annotate the record as the message says; the next pod"
        " verifies them again."
    ),
    Reason.EVIDENCE_NOT_AVAILABLE: (
        "The rule needs evidence that is not available. The policy's `onUnknown` decides."
    ),
    Reason.EVIDENCE_PENDING: (
        "The evidence that the rule needs is being gathered or verified right now. Workloads are"
        " let through meanwhile and their pods refused, so that they come up by themselves; a pod"
        " that nobody makes again has to be created again."
    ),
    Reason.UNDECIDABLE: (
        "The rule cannot be decided for weights that the manifest does not name. `onUnknown`"
        " decides."
    ),
    Reason.PUBLISHER_MISSING: (
        "The rule names a ModelPublisher that does not exist, so it cannot tell whose models it is"
        " about. `onUnknown` decides; the policy's status says which publisher is missing."
    ),
    Reason.JURISDICTION_UNKNOWN: (
        "The publisher or its country is unknown, so a rule about countries cannot be decided."
        " `onUnknown` decides."
    ),
    Reason.FORMAT_UNKNOWN: (
        "Neither the reference nor the runtime's settings say which format will be loaded."
        " `onUnknown` decides."
    ),
    Reason.SETTING_UNKNOWN: (
        "A setting that the rule forbids takes its value from somewhere admission cannot see, or"
        " may: `envFrom` without a prefix can set any. `onUnknown` decides; write the value into"
        " the manifest, or give the `envFrom` a prefix."
    ),
    Reason.EXPRESSION_ERROR: (
        "The rule's CEL expression failed for this model use. `onUnknown` decides."
    ),
    Reason.PREDICATE_NOT_READ: (
        "An authority of the rule has attested the model, but what it says is too large for a"
        " ModelRecord, or no JSON that can be relied on. `onUnknown` decides. A rule whose"
        " expression is `true` does not look at it."
    ),
    Reason.POLICY_UNUSABLE: (
        "This version of Weighmaster cannot use the stored policy, so it fails for everything the"
        " policy may match. Its status says what is wrong."
    ),
    Reason.SANDBOX_PROFILE_MISSING: (
        "The model may only run in a sandbox whose SandboxProfile does not exist or cannot be used."
        " Its status says what is wrong."
    ),
    Reason.SANDBOX_PROFILE_CONFLICT: (
        "Several policies each want the model in a sandbox of another profile. Name one and the"
        " same profile in all of them."
    ),
    Reason.SANDBOX_IMPOSSIBLE: (
        "The model may only run in a sandbox, and something that the pod has reaches out of it and"
        " cannot be taken away without changing what the pod is. The message names the field."
    ),
    Reason.SANDBOX_SECRETS: (
        "The model may only run in a sandbox, and its profile lets no secrets in. Remove them from"
        " the pod; a profile with `secrets: Strip` takes them away by itself."
    ),
    Reason.SANDBOX_INCOMPLETE: (
        "The pod lacks a part of the confinement that its decision asks for. Another webhook has"
        " changed it after Weighmaster did, or it existed before; the message names the fields."
    ),
    Reason.SANDBOX_NETWORK_MISSING: (
        "The NetworkPolicy that isolates sandboxed pods of the profile is not in the namespace yet,"
        " or not as it must be. The controller is making it; the pod will be created again."
    ),
    Reason.SANDBOX_NETWORK_OPEN: (
        "Another NetworkPolicy selects the sandboxed pod and allows it traffic; what one policy"
        " allows, no other can forbid. Exclude pods with the label `weighmaster.dev/sandbox` from"
        " it, or allow the same in the profile."
    ),
    Reason.SANDBOX_PROTECTED: (
        "The request would weaken a sandbox, or reach into it. Only the controller may change"
        " labels and NetworkPolicies of sandboxes, and only those whom the profile names under"
        " `access` may exec, attach, port-forward or debug."
    ),
    Reason.TOO_MANY_MODEL_USES: (
        "The object names more models than one decision may cover. Split it up."
    ),
    Reason.NOT_READY: (
        "This replica has not yet listed every policy, or its listing is too old. Try again."
    ),
    Reason.OVERLOADED: (
        "This replica has more requests than it can answer before the API server gives up, and said"
        " so at once. Clients try again by themselves (429, Retry-After); if it lasts, run more"
        " replicas."
    ),
    Reason.UNSUPPORTED_REQUEST: (
        "The request has a path, version or operation that the webhook is not for. Check the"
        " webhook configuration."
    ),
    Reason.MALFORMED_REQUEST: "The request is not a well-formed AdmissionReview.",
    Reason.REQUEST_TOO_LARGE: "The request is larger than any object the API server stores.",
    Reason.INTERNAL_ERROR: (
        "Weighmaster failed. The request was refused; the log has the cause under the request id."
    ),
}
