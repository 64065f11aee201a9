"""Gathering evidence about model references: the only network I/O about models.

`Gatherer` is what a controller uses; the rest of the package is how it does it.
"""

from weighmaster.gather.credentials import Credential, Credentials
from weighmaster.gather.service import Gatherer, Resolver
from weighmaster.gather.settings import GatherSettings

__all__ = ["Credential", "Credentials", "GatherSettings", "Gatherer", "Resolver"]
