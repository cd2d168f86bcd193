"""Which file system a path lies on, and whether that is another host's. Pure but for reading /proc."""

from __future__ import annotations

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")

_NETWORK = frozenset({
    "nfs", "nfs3", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "auristorfs", "coda", "ceph",
    "lustre", "beegfs", "gpfs", "panfs", "pvfs2", "orangefs", "ocfs2", "gfs2", "glusterfs", "davfs", "moosefs", "weka",
})  # fmt: skip
_NETWORK_FUSE = re.compile(
    r"fuse\.(sshfs|s3fs|gcsfuse|goofys|geesefs|mount-s3|mountpoint-s3|rclone|blobfuse2?|davfs2?|glusterfs|ceph|cephfs"
    r"|juicefs|mfs|moosefs|curlftpfs|smbnetfs|seaweedfs|alluxio.*|hdfs.*|afp.*|lizardfs|quobyte|objectivefs)"
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


def network_file_system(path: Path, mounts: Path = MOUNTS) -> str | None:
    """The type of the file system under ``path`` where it is a network's, else None. ``path`` need not be there yet."""
    try:
        table = mounts.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:  # no /proc: then nothing is known, and SQLite's own locking decides
        return None
    found = type_under(os.path.realpath(path), table)
    return found if found in _NETWORK or _NETWORK_FUSE.fullmatch(found) else None


def type_under(path: str, table: str) -> str:
    """The type of the mount that holds the absolute ``path``, as a table in the form of mountinfo says."""
    longest, found = -1, ""
    for line in table.splitlines():
        before, dash, after = line.partition(" - ")
        fields = before.split(" ")
        if not dash or len(fields) < 5:
            continue
        place = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), fields[4])
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= longest:  # of two mounts on one place the later one is on top
            longest, found = len(place), after.split(" ")[0]
    return found
