"""Pictures in a tar that is not compressed: where the bytes of each are, by the headers alone."""

import posixpath
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from featurekit.images.folders import Listing, hidden, readable_endings, refused
from featurekit.images.packed import PictureFile, TarMember

TAR = ".tar"
LINKS = 40  # links that lead to one another, at most, as Linux follows them


@dataclass(frozen=True, slots=True)
class TarLink:
    """What has a name in a tar and no bytes of its own, or none that lie together."""

    name: str
    tar: Path
    target: str | None = None  # where a link leads, as members are named; nothing else is opened
    is_what: str = "a device or a pipe"

    def read_bytes(self) -> bytes:
        """Nothing.

        Raises:
            OSError: always.
        """
        raise OSError(f"{self} is {self.is_what}")

    def __str__(self) -> str:
        """For messages."""
        return f"{self.tar}/{self.name}"


def in_tar(tar: Path) -> Listing[PictureFile]:
    """List the pictures of a tar; no picture's bytes are read.

    A link to a file of the same tar is that file under another name, as in a folder.

    Args:
        tar: not compressed.

    Returns:
        Its pictures; where it is cut, those before that, and the tar itself as damaged. Links that
        lead out of it, devices and the like are never followed: where their names are those of
        pictures, they are named as such that cannot be read.
    """
    files: list[TarMember] = []
    links: list[TarLink] = []
    damaged: dict[PictureFile, str] = {}
    try:
        for member in members_of(tar):
            if isinstance(member, TarMember):
                files.append(member)
            else:
                links.append(member)
    except tarfile.TarError as error:
        damaged[tar] = _cut(tar, len(files), error)
    except OSError as error:
        damaged[tar] = f"a tar must be readable, but {str(tar)!r} gave: {error.strerror}; check it"
    followed, lost = _followed(files, links)
    return _sorted_out([*files, *followed], lost, damaged)


def members_of(tar: Path) -> Iterator[TarMember | TarLink]:
    """List the files of a tar by their headers alone; their bytes are passed over.

    Args:
        tar: not compressed.

    Yields:
        Each ordinary file and each link or device under its whole name, without a leading ``./``.

    Raises:
        tarfile.TarError: the tar is damaged or cut at this point; what came before is whole.
        OSError: it cannot be read.
    """
    size = tar.stat().st_size
    with tarfile.open(tar, "r:") as archive:
        for found in archive:
            name = found.name.removeprefix("./")
            whole = found.isreg() and not found.issparse()
            if whole and found.offset_data + found.size > size:
                raise tarfile.ReadError("its last file is cut")
            if whole:
                yield TarMember(name, tar, found.offset_data, found.size)
            elif not found.isdir():
                yield _link(name, tar, found)
            archive.members.clear()  # type: ignore[attr-defined]  # a million stay in memory else
        with tar.open("rb") as stream:
            stream.seek(archive.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("the mark of its end is missing")


def _link(name: str, tar: Path, found: tarfile.TarInfo) -> TarLink:
    if found.issparse():
        return TarLink(name, tar, None, "a file with holes, which do not lie in the tar")
    if not (found.islnk() or found.issym()):
        return TarLink(name, tar)
    beside = posixpath.dirname(name) if found.issym() else ""
    target = posixpath.normpath(posixpath.join(beside, found.linkname))
    return TarLink(name, tar, target, f"a link to {found.linkname!r}")


def _followed(
    files: list[TarMember], links: list[TarLink]
) -> tuple[list[TarMember], dict[PictureFile, str]]:
    """Files that links lead to, under the links' names; and links that lead to none."""
    if not links:
        return [], {}
    members: list[TarMember | TarLink] = [*links, *files]
    known = {posixpath.normpath(one.name): one for one in members}
    followed: list[TarMember] = []
    lost: dict[PictureFile, str] = {}
    for link in links:
        end = _end(link, known)
        if end is None:
            lost[link] = (
                f"a picture of a tar must be a file or a link to one in it, but {str(link)!r} is "
                f"{link.is_what}; pack the file itself, as tar does with --dereference"
            )
        else:
            followed.append(TarMember(link.name, link.tar, end.start, end.length))
    return followed, lost


def _end(link: TarLink, known: Mapping[str, TarMember | TarLink]) -> TarMember | None:
    """The file that a link, or links one after another, lead to."""
    at: TarMember | TarLink | None = link
    for _ in range(LINKS):
        if not isinstance(at, TarLink):
            return at
        at = known.get(at.target) if at.target is not None else None
    return None


def _sorted_out(
    files: list[TarMember], lost: dict[PictureFile, str], damaged: dict[PictureFile, str]
) -> Listing[PictureFile]:
    readable = readable_endings()
    pictures: list[PictureFile] = []
    others: list[PictureFile] = []
    unreadable: dict[PictureFile, str] = {}
    for one in (*files, *lost):
        if hidden(one.name):
            others.append(one)
        elif Path(one.name).suffix.lower() in readable:
            if one in lost:
                unreadable[one] = lost[one]
            else:
                pictures.append(one)
        elif refused(one.name):
            unreadable[one] = refused(one.name)
        else:
            others.append(one)
    return Listing(tuple(pictures), unreadable | damaged, tuple(others))


def _cut(tar: Path, count: int, error: tarfile.TarError) -> str:
    """What is wrong with a tar behind so many whole files."""
    if not tar.stat().st_size:
        return f"a tar must hold pictures, but {str(tar)!r} is an empty file; fetch it again"
    if not count:
        return f"a tar must be whole, but {str(tar)!r} is none ({error}); fetch it again"
    return (
        f"a tar must be whole, but it is cut or damaged behind {count} files ({error}); fetch it "
        f"again, and the same command adds the rest"
    )
