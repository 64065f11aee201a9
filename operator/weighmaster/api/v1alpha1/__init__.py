"""Version ``v1alpha1`` of the resources."""

from weighmaster.api import GROUP
from weighmaster.api.resource import Resource
from weighmaster.api.v1alpha1.exception import ModelException
from weighmaster.api.v1alpha1.policy import ClusterModelPolicy, ModelPolicy
from weighmaster.api.v1alpha1.publisher import ModelPublisher
from weighmaster.api.v1alpha1.record import ModelRecord
from weighmaster.api.v1alpha1.sandbox import SandboxProfile

VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

RESOURCES: tuple[type[Resource], ...] = (
    ClusterModelPolicy,
    ModelPolicy,
    ModelPublisher,
    ModelException,
    SandboxProfile,
    ModelRecord,
)

__all__ = [
    "API_VERSION",
    "RESOURCES",
    "VERSION",
    "ClusterModelPolicy",
    "ModelException",
    "ModelPolicy",
    "ModelPublisher",
    "ModelRecord",
    "SandboxProfile",
]
