"""What lies at a path inside a container: volumes, and what other containers put there."""

from posixpath import normpath

from weighmaster.core import references
from weighmaster.core.detect.containers import Container
from weighmaster.core.detect.paths import Path
from weighmaster.core.detect.reading import Json, items, mapping, text
from weighmaster.core.values import ModelReference, Place

STORED = "volume that holds the downloaded copy"
"""Reason of a use whose reference is only the place where a download is kept."""


MAX_PLACES = 32
"""Places of one reference in one container that are told apart."""

UNTOLD = Place(volume="", source="", mount="", inside="/", root="/")
"""Stands for all further places: a volume that no pod has."""

MAX_PATH = 4096
"""Characters of a path; Linux takes no more."""


class Download:
    """Something that a container fetches to a path."""

    __slots__ = ("container", "destination", "path", "place", "reason", "reference", "role")

    def __init__(
        self, reference: ModelReference, destination: str, path: Path, reason: str
    ) -> None:
        self.reference = reference
        self.destination = destination
        self.path = path
        self.reason = reason
        self.container: Container | None = None
        self.place: tuple[str, str] | None = None
        self.role = ""


class Location:
    """A path inside a volume, and the mount that it was found through."""

    __slots__ = ("inside", "mount", "volume")

    def __init__(self, volume: str, inside: str, mount: str = "") -> None:
        self.volume = volume
        self.inside = inside
        self.mount = mount


class Volumes:
    """The volumes of one pod, by name."""

    def __init__(self, volumes: Json, aliases: dict[str, ModelReference] | None = None) -> None:
        self.by_name: dict[str, tuple[dict[str, Json], int]] = {}
        for index, volume in enumerate(items(volumes)):
            name = text(mapping(volume).get("name"))
            if name:
                self.by_name[name] = (volume, index)
        self.aliases = aliases or {}
        self.processes_shared = False
        """Whether containers of the pod see each other's processes, and files through them."""
        self.downloads: list[Download] = []
        self.fields: dict[str, Path] = {}
        """By canonical reference, the field of the download that names it, as paths resolved."""
        self.stores: list[ModelReference] = []
        """Volumes that outlive the pod, behind paths that resolved to a download."""
        self.places: dict[tuple[str | None, str], dict[Place, None]] = {}
        """By container and canonical reference, where paths were resolved to."""

    def locate(self, container: Container, path: str) -> Location | None:
        """The volume that the longest mount over ``path`` shows, and the path inside it."""
        if len(path) > MAX_PATH:
            return None
        mounts = container.by_path
        if mounts is None:
            mounts = container.by_path = _by_path(container.mounts)
        clean = normpath(path)
        at = _single(clean) if clean[:2] == "//" else clean
        while mounts:
            found = mounts.get(at)
            if found is not None:
                name, sub = found
                below = clean.lstrip("/") if at == "/" else clean[len(at) :]
                return Location(name, _single(normpath(f"/{sub}/{below}")), at)
            if at in ("/", "", "."):
                break
            at = at.rpartition("/")[0] or ("/" if at[:1] == "/" else "")
        return None

    def resolve(
        self, container: Container, path: str, *, written: bool = True
    ) -> list[ModelReference]:
        """The references that ``path`` stands for; empty where it is the container's own."""
        for alias, reference in self.aliases.items():
            if is_below(normpath(path), alias):
                return [reference]
        location = self.locate(container, path)
        fetched = self._fetched(container, path, location) if written else []
        if location is None:
            return fetched
        if fetched:
            # The server loads what lies there, which need not be what was fetched this time.
            if _outlives(self.by_name.get(location.volume)):
                store = self.reference(location)
                self.stores.append(store)
                self._note(container, store, location)
            return fetched
        reference = self.reference(location)
        self._note(container, reference, location)
        return [reference]

    def _note(
        self,
        container: Container,
        reference: ModelReference,
        location: Location,
        download: Download | None = None,
    ) -> None:
        """Remember where a container finds a reference."""
        noted = self.places.setdefault((container.name, reference.canonical), {})
        if UNTOLD in noted:
            return
        root = location.inside
        fetchers: tuple[str, ...] = ()
        if download is not None and download.place is not None:
            root = download.place[1]
            fetchers = ((download.container.name if download.container else None) or "",)
        found = self.by_name.get(location.volume)
        store = self.reference(Location(location.volume, root)) if _outlives(found) else None
        place = Place(
            volume=location.volume,
            source=next((key for key in found[0] if key != "name"), "") if found else "",
            mount=location.mount,
            inside=location.inside,
            root=root,
            store=store.canonical if store is not None and store.known else "",
            fetchers=fetchers,
        )
        noted[place if len(noted) < MAX_PLACES else UNTOLD] = None

    def _fetched(
        self, container: Container, path: str, location: Location | None
    ) -> list[ModelReference]:
        """References of the downloads that could have made what lies at ``path``.

        All of them: which one came last, or whether one failed, no manifest tells.
        """
        found: list[ModelReference] = []
        for download in self.downloads:
            if location is not None and download.place is not None:
                if download.place[0] != location.volume:
                    continue
                here, there = location.inside, download.place[1]
            elif download.container is container and location is None:
                here, there = normpath(path), normpath(download.destination)
            else:
                continue
            if is_below(here, there) or (is_below(there, here) and download.role != "generic"):
                found.append(download.reference)
                self.fields[download.reference.canonical] = download.path
                if location is not None:
                    self._note(container, download.reference, location, download)
        return found

    def reference(self, location: Location) -> ModelReference:
        """What a path inside a volume is, by the source of the volume."""
        if location.volume not in self.by_name:
            # A volumeClaimTemplate of a StatefulSet, or a volume that a controller adds.
            return references.volume_claim(location.volume, location.inside)
        volume, _ = self.by_name[location.volume]
        inside = location.inside
        claim = mapping(volume.get("persistentVolumeClaim"))
        if claim:
            return references.volume_claim(text(claim.get("claimName")), inside)
        host = mapping(volume.get("hostPath"))
        if host:
            return references.host_path(f"{text(host.get('path')).rstrip('/')}{inside}")
        image = mapping(volume.get("image"))
        if image:
            return references.image(text(image.get("reference")))
        csi = mapping(volume.get("csi"))
        if csi:
            return _csi(csi, inside)
        nfs = mapping(volume.get("nfs"))
        if nfs:
            where = f"{text(nfs.get('server'))}{text(nfs.get('path')).rstrip('/')}{inside}"
            return references.parse(f"nfs://{where}")
        kind = next((key for key in volume if key != "name"), "volume")
        return references.unresolved(f"{inside} ({kind} {location.volume})")


def _by_path(mounts: list[Json]) -> dict[str, tuple[str, str]]:
    """Mounts by their path: the volume and the path inside it. The first of a path counts."""
    found: dict[str, tuple[str, str]] = {}
    for mount in mounts:
        if type(mount) is not dict:
            continue
        at = text(mount.get("mountPath")) or text(mount.get("mountPoint"))
        if at:
            sub = text(mount.get("subPath")) or text(mount.get("subPathExpr"))
            found.setdefault(normpath(at), (text(mount.get("name")), sub))
    return found


def _outlives(found: tuple[dict[str, Json], int] | None) -> bool:
    """Whether what lies on a volume may be older than the pod."""
    return found is None or not any(kind in found[0] for kind in ("emptyDir", "ephemeral"))


def _csi(csi: dict[str, Json], inside: str) -> ModelReference:
    attributes = mapping(csi.get("volumeAttributes"))
    reference = text(attributes.get("model.csi.modelpack.org/reference"))
    if reference:
        return references.image(reference)
    below = "" if inside == "/" else inside
    bucket = text(attributes.get("bucketName")) or text(attributes.get("bucket"))
    driver = text(csi.get("driver"))
    if bucket:
        options = text(attributes.get("mountOptions"))
        only = next((o[9:] for o in options.split(",") if o.startswith("only-dir:")), "")
        only = f"/{only.strip('/')}" if only.strip("/") else ""
        scheme = "gs" if "gcs" in driver else "tos" if "tos" in driver else "s3"
        return tentative(references.parse(f"{scheme}://{bucket}{only}{below}"), bucket + below)
    container = text(attributes.get("containerName"))
    if container:
        account = text(attributes.get("storageAccount")) or text(attributes.get("storageaccount"))
        return references.parse(f"az://{account}/{container}{below}")
    return references.unresolved(f"csi {driver or 'volume'}{inside}")


def tentative(reference: ModelReference, spelling: str) -> ModelReference:
    """Mark a reference that still holds a variable as not known."""
    return references.unexpanded(reference) if "$" in spelling else reference


def is_below(path: str, root: str) -> bool:
    """Whether ``path`` is ``root`` or lies in it."""
    return root in (path, "/") or path.startswith(root.rstrip("/") + "/")


def _single(path: str) -> str:
    """POSIX keeps two leading slashes; a volume has one root."""
    return "/" + path.lstrip("/")
