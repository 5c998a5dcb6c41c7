"""Tars at an address: `s3://bucket/pack/HASH.tar/fight_012-KEY.mp4` is read through fsspec.

A tar's headers are walked over once in each process, a small read for each member; then a member is one read of its
bytes, whole, into memory. The members used last stay there, up to a number of bytes.

Credentials are those that the file system finds by itself (environment, configuration files); an address that carries
some is refused, because addresses stand in manifests, reports and messages.
"""

from __future__ import annotations

import functools
import tarfile
import threading
from collections import OrderedDict
from typing import Any

from marey.errors import DataError, UsageError, VideoError, VideoNotFoundError, require
from marey.video.packed.names import SCHEMES

MOST_BYTES = 256 << 20
_HEADERS = 16 << 10  # bytes read at once while walking; small movies lie behind one another within it


class HeldMembers:
    """Members of remote tars that were used last, up to a sum of bytes, in this process."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes, self.bytes = most_bytes, 0
        self._members: OrderedDict[tuple[str, str], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, tar: str, name: str) -> bytes:
        """The bytes of a member.

        Raises:
            VideoNotFoundError: there is no such tar, or no such member. VideoError: it cannot be read.
            UsageError: what reads this kind of address is not installed, or the address carries a password.
        """
        with self._lock:
            held = self._members.get((tar, name))
            if held is not None:
                self._members.move_to_end((tar, name))
                return held
        found = remote_members(tar).get(name)
        if found is None:
            raise VideoNotFoundError(f"{tar}/{name}", "there is no such file in this tar.")
        place, size = found
        data: bytes = _asked(tar, lambda files, path: files.cat_file(path, start=place, end=place + size))
        if len(data) != size:
            what = (
                "the tar ends within this file."
                if len(data) < size
                else "the server gives no parts of files."
            )
            raise VideoError(f"{tar}/{name}", what)
        with self._lock:
            if (tar, name) not in self._members:
                self._members[tar, name] = data
                self.bytes += size
            while self.bytes > self.most_bytes:
                _, oldest = self._members.popitem(last=False)
                self.bytes -= len(oldest)
        return data


HELD = HeldMembers()


@functools.lru_cache(maxsize=4096)
def remote_members(tar: str) -> dict[str, tuple[int, int]]:
    """Name -> (place, bytes) of every file in a tar at an address. A tar is taken never to change: packs' never do.

    Raises:
        VideoNotFoundError: there is no such tar. DataError: it is not one, or cannot be read.
        UsageError: what reads this kind of address is not installed, or the address carries a password.
    """

    def walk(files: Any, path: str) -> dict[str, tuple[int, int]]:
        with (
            files.open(path, "rb", block_size=_HEADERS, cache_type="readahead") as file,
            tarfile.open(fileobj=file, mode="r:") as held,
        ):
            return {member.name: (member.offset_data, member.size) for member in held if member.isreg()}

    try:
        found: dict[str, tuple[int, int]] = _asked(tar, walk)
    except tarfile.TarError as error:
        raise DataError(f"not readable as a tar: {error}.", where=tar) from error
    return found


def refuse_secrets(address: str) -> None:
    """Refuse an address that carries a password or a signature, without repeating it.

    Raises:
        UsageError
    """
    scheme, _, rest = address.partition("://")
    host = rest.split("/", 1)[0]
    # a bucket's name may stand before an "@" in Azure's own form, and nothing else may
    carries = "@" in host and (scheme not in ("abfs", "abfss") or ":" in host.split("@")[0])
    if carries or "?" in rest or "#" in rest:
        raise UsageError(
            f"an address ({scheme}://…) carries a user, a password or a signature, and would stand in logs.",
            "leave it out, and give credentials as the file system takes them: the environment or its own files",
        )


def _asked(tar: str, work: Any) -> Any:
    """`work(file system, path)`; what goes wrong on the way is told without the words of the other side, which may
    hold what is nobody's business."""
    refuse_secrets(tar)
    fsspec: Any = require("fsspec", "remote")
    scheme = tar.partition("://")[0]
    assert scheme in SCHEMES
    try:
        files, path = fsspec.core.url_to_fs(tar)
    except ImportError as error:  # fsspec names the package: "Install s3fs to access S3"
        raise UsageError(
            f"nothing that reads {scheme}:// is installed; fsspec says: {str(error).splitlines()[0]}.",
            "pip install 'marey[remote]' is enough for http; s3 needs s3fs besides, gs gcsfs, and abfs adlfs",
        ) from error
    try:
        return work(files, path)
    except FileNotFoundError as error:  # of a server that does not answer, too
        raise VideoNotFoundError(tar, "there is no such tar, or nothing answers at this address.") from error
    except tarfile.TarError:
        raise
    except Exception as error:  # every file system has errors of its own
        raise VideoError(
            tar, f"cannot be read from there ({type(error).__name__}).",
            "are the address, the network and the credentials right? --debug shows what was said",
        ) from error  # fmt: skip
