"""Sites: what lies at one place in a volume, as the container that loads it sees it."""

from posixpath import normpath, relpath

from msgspec import Struct

from weighmaster.core.detect.reading import text
from weighmaster.core.detect.volumes import is_below
from weighmaster.core.enforce.verification.members import Member
from weighmaster.core.formats import BY_EXTENSION
from weighmaster.core.values import Place

MAX_HIDDEN = 64
"""Mounts over one volume that are told apart."""


class Site(Struct, frozen=True, order=True):
    """A model's folder in a volume, or one file of it.

    ``sub_path`` is the part of the volume that is mounted, ``path`` the folder below that.
    ``hidden`` are paths below the mount over which the reader has other mounts.
    """

    volume: str
    sub_path: str
    path: str
    file: str
    hidden: tuple[str, ...] = ()

    def covers(self, other: "Site") -> bool:
        """Whether verifying this verifies the other too."""
        if (self.volume, self.sub_path, self.hidden) != (
            other.volume,
            other.sub_path,
            other.hidden,
        ):
            return False
        if self.file:
            return (self.path, self.file) == (other.path, other.file)
        return is_below(f"/{other.path}", f"/{self.path}")


def site_of(place: Place, reader: Member) -> Site | str:
    """The site at which a container finds a place; or why it cannot be verified there."""
    mount = next(
        (
            each
            for each in reader.mounts
            if text(each.get("name")) == place.volume
            and normpath(text(each.get("mountPath")) or ".") == place.mount
        ),
        None,
    )
    if mount is None:
        return f"no container is seen to have the volume {place.volume} mounted"
    if mount.get("subPathExpr"):
        return f"{reader.path} mounts the volume by subPathExpr; use subPath"
    if not is_below(place.inside, place.root):
        return (
            f"only a part of {place.inside} in the volume is known; give the server the path of the"
            " model's own folder"
        )
    shown = normpath(f"/{text(mount.get('subPath'))}")
    if not is_below(place.root, shown):
        return f"{reader.path} mounts only a part of it"
    folder, file = _split(relpath(place.root, shown), relpath(place.inside, place.root))
    hidden = _hidden(reader, place.mount)
    over = f"{folder}/{file}".strip("/") if file else folder
    for path in hidden:
        if is_below(f"/{path}", f"/{over}"):
            return f"{reader.path} has another mount over a part of it, at {path}"
    if len(hidden) > MAX_HIDDEN:
        return f"{reader.path} has more than {MAX_HIDDEN} mounts in one volume"
    return Site(place.volume, shown.strip("/"), folder, file, hidden)


_COMPANIONS = frozenset({"onnx", "openvino", "saved-model"})
"""Formats of which one file makes its loader read others beside it, such as external tensors."""


def _split(root: str, below: str) -> tuple[str, str]:
    """The folder of the model, and the one file in it that is loaded, where that is all of it.

    A file that brings others along is verified with all of its folder.
    """
    root = "" if root == "." else root
    whole = below == "."
    name_format = _format(root if whole else below)
    if name_format is None:
        return root, ""
    folder, _, file = root.rpartition("/") if whole else (root, "", below)
    return folder, "" if name_format in _COMPANIONS else file


def _format(path: str) -> str | None:
    stem, dot, extension = path.rpartition("/")[2].rpartition(".")
    return BY_EXTENSION.get(f".{extension.lower()}") if stem and dot else None


def _hidden(reader: Member, mount: str) -> tuple[str, ...]:
    """Paths below a mount over which a container has other mounts."""
    paths = (normpath(text(each.get("mountPath")) or ".") for each in reader.mounts)
    below = (path for path in paths if path != mount and is_below(path, mount))
    return tuple(sorted({relpath(path, mount) for path in below}))
