"""Pictures in the forms that users of many have them in: a folder, tars, tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from featurekit.core.errors import ConfigError, ImageError
from featurekit.images.folders import Listing, pictures_in, readable_endings
from featurekit.images.packed import PictureFile
from featurekit.pipeline.extras import from_extra
from featurekit.scale.tables import TABLE, in_table
from featurekit.scale.tars import TAR, in_tar

EXTRA = "scale"
PRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def pictures_of(image: str, columns: Sequence[str] = ()) -> Listing[PictureFile]:
    """List pictures, wherever they are; none is read.

    A picture in a tar has the name that webdataset gives it, its key with its endings, so that a
    tar and a folder of the same files make the same store.

    Args:
        image: a picture, a folder of pictures, tars or parquet files, a tar, a parquet file, or
            several by braces as webdataset writes them: ``photos-{000..127}.tar``.
        columns: of tables: that of the ids, and that of the pictures' bytes or paths.

    Returns:
        At least one picture; what is damaged is named beside them: of a cut tar, the tar.

    Raises:
        ImageError: ``image`` is an address, there is no such file, or it holds no picture.
        ConfigError: two pictures have one id, an id is no plain name, a column is missing, or a
            package of the extra is.
    """
    if "://" in image or image.startswith("pipe:"):
        raise ImageError(
            f"image must be a file or a folder here, got {image!r}; nothing is fetched over a "
            f"network, so download it first"
        )
    files = _packs(image)
    if columns and not any(one.suffix == TABLE for one in files):
        raise ConfigError(
            f"columns must go with parquet files, got {','.join(columns)} for {image!r}"
        )
    if not files:
        listing: Listing[PictureFile] = _widened(pictures_in(image))
        return listing
    found = [in_tar(one) if one.suffix == TAR else in_table(one, columns) for one in files]
    joined = _joined(found)
    if not joined.pictures:
        raise _nothing(image, list(joined.unreadable.values()), joined.told)
    _refuse_names(joined.pictures)
    return joined


def _widened(listing: Listing[Path]) -> Listing[PictureFile]:
    return Listing(listing.pictures, dict(listing.unreadable.items()), listing.others)


def _packs(image: str) -> list[Path]:
    """Tars and tables that were asked for; none where that is a picture or a folder of them."""
    words = [image]
    if set("{}") & set(image) and not Path(image).expanduser().exists():
        words = _expanded(image)
    paths = [Path(word).expanduser() for word in words]
    if len(paths) == 1 and paths[0].is_dir():
        inside = sorted(one for one in paths[0].iterdir() if not one.name.startswith("."))
        packs = [one for one in inside if _is_pack(one)]
        others = [one for one in inside if one not in packs and _is_picture(one)]
        if packs and others:
            raise ImageError(
                f"a folder must hold pictures, or tars and tables of pictures, but {image!r} has "
                f"both, such as {others[0].name} and {packs[0].name}; move one kind away"
            )
        return packs
    packs = [one for one in paths if _is_pack(one)]
    if packs and len(packs) < len(paths):
        odd = next(one for one in paths if one not in packs)
        raise ImageError(f"several files at once must be tars or parquet files, got {str(odd)!r}")
    for one in packs:
        if not one.is_file():
            raise ImageError(f"image must be a file, but there is no {str(one)!r}; check it")
    return packs


def _expanded(image: str) -> list[str]:
    """Names of files by braces, as webdataset expands them."""
    expand = from_extra("webdataset.shardlists:expand_urls", extra=EXTRA, what="image")
    try:
        words: list[str] = expand(image)
    except ValueError:  # braces that do not match
        words = [image]
    if any(brace in word for word in words for brace in "{}"):
        raise ImageError(
            f"braces must be whole, such as photos-{{00..31}}.tar or photos-{{a,b}}.tar, got "
            f"{image!r}; write both ends"
        )
    return words


def _is_pack(path: Path) -> bool:
    if path.name.lower().endswith(PRESSED):
        raise ImageError(
            f"a tar of pictures must not be compressed, for its pictures are read in any order, "
            f"got {str(path)!r}; unpack the compression: pictures are small already"
        )
    return path.suffix in (TAR, TABLE)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in readable_endings() and path.is_file()


def _nothing(image: str, reasons: Sequence[str], told: str) -> ImageError:
    """What is wrong where nothing is a picture that can be read."""
    if len(reasons) == 1:
        return ImageError(reasons[0])
    if reasons:
        return ImageError(
            f"image must hold a picture that can be read, but {image!r} has none; of "
            f"{len(reasons)} reasons the first: {reasons[0]}"
        )
    more = f" ({told})" if told else ""
    return ImageError(f"image must hold a picture, but {image!r} has none; check it{more}")


def _joined(several: Iterable[Listing[PictureFile]]) -> Listing[PictureFile]:
    pictures: list[PictureFile] = []
    unreadable: dict[PictureFile, str] = {}
    others: list[PictureFile] = []
    for one in several:
        pictures += one.pictures
        unreadable |= one.unreadable
        others += one.others
    return Listing(tuple(pictures), unreadable, tuple(others))


def _refuse_names(pictures: Sequence[PictureFile]) -> None:
    """An id names a file in a folder of results, and one sample of a store."""
    for one in pictures:
        if "/" in one.name or "\\" in one.name or one.name in (".", ".."):
            raise ConfigError(
                f"an id must be a plain file name, got {one.name!r} in {str(one)!r}; pack the "
                f"pictures from inside their folder, each under a name of its own"
            )
    twice = [name for name, count in Counter(one.name for one in pictures).items() if count > 1]
    if not twice:
        return
    where = [str(one) for one in pictures if one.name == twice[0]]
    more = f" and {len(twice) - 1} more such ids" if len(twice) > 1 else ""
    raise ConfigError(
        f"every picture must have an id of its own, got {twice[0]!r} {len(where)} times "
        f"({' and '.join(list(dict.fromkeys(where))[:2])}){more}; give each a name of its own"
    )
