"""Pods of every kind of carelessness, and profiles, for properties."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Json = dict[str, Any]

NAMES = st.sampled_from(["a", "b", "c"])
QUANTITIES = st.sampled_from(["0", "100m", "1", "1000m", "1.5", "2Gi", "2048Mi", "1e3", "64"])
RESOURCES = ("cpu", "memory", "nvidia.com/gpu", "hugepages-2Mi", "ephemeral-storage")
MODEL_FOLDER = "/data/models"


def some(**fields: SearchStrategy[Any]) -> SearchStrategy[Json]:
    """A mapping that has any of these fields."""
    return st.fixed_dictionaries({}, optional=fields)


def _either(*values: Any) -> SearchStrategy[Any]:
    return st.sampled_from(values)


_OPTIONS: dict[str, SearchStrategy[Any]] = {
    "runAsUser": _either(0, 1000),
    "runAsNonRoot": st.booleans(),
    "seccompProfile": _either(
        {"type": "Unconfined"},
        {"type": "RuntimeDefault"},
        {"type": "Localhost", "localhostProfile": "x"},
    ),
    "appArmorProfile": _either(
        {"type": "Unconfined"}, {"type": "Localhost", "localhostProfile": "x"}
    ),
    "seLinuxOptions": some(
        type=_either("spc_t", "container_t"),
        user=_either("u"),
        role=_either("r"),
        level=_either("s0"),
    ),
    "windowsOptions": some(hostProcess=st.booleans()),
}
_CAPABILITIES = st.lists(_either("ALL", "NET_ADMIN", "NET_BIND_SERVICE", "CHOWN"), max_size=2)
_CONTAINER_SECURITY = some(
    **_OPTIONS,
    privileged=st.booleans(),
    allowPrivilegeEscalation=st.booleans(),
    readOnlyRootFilesystem=st.booleans(),
    procMount=_either("Unmasked", "Default"),
    capabilities=some(add=_CAPABILITIES, drop=_CAPABILITIES),
)
_AMOUNTS = st.dictionaries(st.sampled_from(RESOURCES), QUANTITIES, max_size=3)
_ENV = st.lists(
    st.one_of(
        st.builds(lambda name, value: {"name": name, "value": value}, NAMES, _either("", "x")),
        st.builds(
            lambda name: {"name": name, "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            NAMES,
        ),
        st.just({"name": "HOME", "value": "/home/x"}),
    ),
    max_size=3,
)
_HANDLER = _either(
    {"httpGet": {"port": 1, "host": "10.0.0.1"}},
    {"tcpSocket": {"port": 1, "host": "h"}},
    {"exec": {"command": ["true"]}},
)
_MOUNT = st.builds(
    lambda name, path, more: {"name": name, "mountPath": path, **more},
    NAMES,
    _either("/tmp", "/models", "/x/"),
    some(readOnly=st.booleans(), mountPropagation=_either("None", "Bidirectional")),
)
_PORT = st.builds(lambda more: {"containerPort": 80, **more}, some(hostPort=_either(80)))


def _container(name: str) -> SearchStrategy[Json]:
    fields = some(
        securityContext=_CONTAINER_SECURITY,
        resources=some(limits=_AMOUNTS, requests=_AMOUNTS),
        env=_ENV,
        envFrom=st.lists(
            _either({"secretRef": {"name": "s"}}, {"configMapRef": {"name": "c"}}), max_size=2
        ),
        ports=st.lists(_PORT, max_size=2),
        volumeMounts=st.lists(_MOUNT, max_size=2, unique_by=lambda mount: str(mount["mountPath"])),
        livenessProbe=_HANDLER,
        lifecycle=some(preStop=_HANDLER),
    )
    return st.builds(lambda more: {"name": name, "image": "i", **more}, fields)


_SOURCES = st.lists(
    _either(
        {"serviceAccountToken": {"path": "t"}},
        {"configMap": {"name": "c"}},
        {"secret": {"name": "s"}},
    ),
    min_size=1,
    max_size=2,
)
_SOURCE = st.one_of(
    _either(
        {},
        {"emptyDir": {}},
        {"configMap": {"name": "c"}},
        {"secret": {"secretName": "s"}},
        {"persistentVolumeClaim": {"claimName": "p"}},
        {"csi": {"driver": "gcsfuse.csi.storage.gke.io"}},
        {"csi": {"driver": "secrets-store.csi.k8s.io"}},
        {"image": {"reference": "r"}},
        {"hostPath": {"path": MODEL_FOLDER, "type": "DirectoryOrCreate"}},
        {"hostPath": {"path": "/etc"}},
        {"hostPath": {"path": "/data/other"}},
        {"nfs": {"server": "s", "path": "/"}},
    ),
    st.builds(lambda sources: {"projected": {"sources": sources}}, _SOURCES),
)


@st.composite
def pods(draw: st.DrawFn) -> Json:
    """A pod such as the API server might accept."""
    volumes = [
        {"name": name, **draw(_SOURCE)} for name in draw(st.lists(NAMES, unique=True, max_size=3))
    ]
    if draw(st.booleans()):
        sources = [{"serviceAccountToken": {"path": "token"}}, {"configMap": {"name": "ca"}}]
        volumes.append({"name": "kube-api-access-x", "projected": {"sources": sources}})
    spec = draw(
        some(
            securityContext=some(**_OPTIONS, sysctls=_either([{"name": "n", "value": "1"}])),
            hostNetwork=st.booleans(),
            hostPID=st.booleans(),
            hostIPC=st.booleans(),
            automountServiceAccountToken=st.booleans(),
            activeDeadlineSeconds=_either(1, 10**6),
            runtimeClassName=_either("runc", "gvisor"),
            nodeSelector=_either({"pool": "gpu", "zone": "a"}),
            tolerations=_either([{"key": "sandbox", "operator": "Exists"}]),
            initContainers=st.tuples(_container("init")).map(list),
            ephemeralContainers=st.tuples(_container("debug")).map(list),
            nodeName=_either("gpu-1"),
        )
    )
    spec["containers"] = [draw(_container("main"))]
    if volumes:
        spec["volumes"] = volumes
    annotation = "container.apparmor.security.beta.kubernetes.io/main"
    metadata = draw(
        some(labels=_either({"app": "x"}), annotations=_either({annotation: "unconfined"}))
    )
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


profiles = some(
    runtimeClassName=_either("gvisor"),
    nodeSelector=_either({"pool": "sandbox"}),
    tolerations=_either([{"key": "sandbox", "operator": "Exists"}]),
    secrets=_either("Refuse", "Strip"),
    resources=st.dictionaries(
        st.sampled_from(RESOURCES), st.sampled_from(["1", "500m", "1Gi", "0"]), max_size=3
    ),
    env=_either([{"name": "a", "value": "set"}], [{"name": "b", "value": ""}]),
    ttl=_either("1h", "30d"),
    runAsUser=_either(2000),
)
