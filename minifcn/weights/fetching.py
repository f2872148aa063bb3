"""Download published weights into a cache: resumed, verified, whole or not at all.

What has come so far lies in ``FILE.part``; only when its checksum is right it gets its name. A
server is believed nothing: not what it sends, not whereto it redirects, and not its speed.
"""
from __future__ import annotations

import difflib
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from minifcn import progress
from minifcn.files import written_whole
from minifcn.weights.architectures import identify
from minifcn.weights.catalogue import CATALOGUE, PREPROCESSINGS, Entry
from minifcn.weights.recognition import open_weights

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SECONDS = 20                # without a byte, a server is given up
WINDOW, SLOWEST = 30, 1000  # seconds, and bytes in each of them that are too few
LARGEST = 4 * 10**9         # bytes, of a file of which the size is not known
PIECE = 1 << 16
ALGORITHMS = ("sha256", "sha1", "md5")


def cache_folder(folder: str | Path | None = None) -> Path:
    """Where fetched files lie: ``folder``, else MINIFCN_CACHE, else the user's cache."""
    if folder or os.environ.get("MINIFCN_CACHE"):
        return Path(folder or os.environ["MINIFCN_CACHE"])
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minifcn" / "weights"


def place_of(name: str, entry: Entry, folder: str | Path | None = None) -> Path:
    return cache_folder(folder) / name / entry.file


def local_file(path_or_name: str | Path) -> Path:
    """A file that exists, or the one that was fetched under a name.

    Raises
    ------
    FileNotFoundError
        There is neither; how to get it.
    """
    path, name = Path(path_or_name), str(path_or_name)
    if path.exists():
        return path
    if name in CATALOGUE:
        found = place_of(name, CATALOGUE[name])
        if found.exists():
            return found
        raise FileNotFoundError(f"{name} has not been fetched: minifcn fetch {name}")
    if len(path.parts) > 1 or path.suffix:
        raise FileNotFoundError(f"{path}: there is no such file")
    raise FileNotFoundError(f"there is no file {name}, and no published one of that name"
                            f"{nearest(name, CATALOGUE)}")


def nearest(name: str, catalogue: Mapping[str, Entry]) -> str:
    near = difflib.get_close_matches(name, catalogue, 1)
    return f"; did you mean {near[0]}?" if near else f"; there are: {', '.join(catalogue)}"


def read_table(path: str | Path) -> dict[str, Entry]:
    """Entries of a TOML file, of a server of one's own, under the names of `Entry`'s fields.

    Raises
    ------
    FileNotFoundError, ValueError
        It is missing, no TOML, or an entry lacks something.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    try:
        table = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a TOML file: {error}") from error
    entries = {}
    for name, fields in table.items():
        try:
            entry = Entry(**{"what": "", "licence": "", **fields})
            entry = entry._replace(addresses=tuple(map(str, entry.addresses)))
            kind, _, digest = entry.checksum.partition(":")
            if Path(entry.file).name != entry.file or Path(name).name != name:
                raise ValueError("name and file must be names, without a folder")
            if entry.checksum and (kind not in ALGORITHMS or len(digest) < 8):
                raise ValueError(f"checksum is ALGORITHM:DIGEST, of {', '.join(ALGORITHMS)}")
            if entry.preprocessing and entry.preprocessing not in PREPROCESSINGS:
                raise ValueError(f"preprocessing is one of {', '.join(PREPROCESSINGS)}")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: entry {name}: {error}") from error
        entries[name] = entry
    return entries


def fetch(name: str, folder: str | Path | None = None, source: str | Path | None = None,
          mirror: str | None = None, catalogue: Mapping[str, Entry] = CATALOGUE,
          quiet: bool = False) -> Path:
    """Get a published file into the cache, and verify it.

    Parameters
    ----------
    name : str
        Of the table.
    folder : path, optional
        The cache; see `cache_folder`.
    source : path, optional
        The file, downloaded by hand, which is verified and copied.
    mirror : str, optional
        An address to try before those of the table.
    catalogue : mapping of str to Entry
    quiet : bool
        No progress bar.

    Returns
    -------
    path : Path

    Raises
    ------
    ValueError
        There is no such name, no address for it, or what came is not the file.
    OSError
        It could not be downloaded; why, and what to do by hand. What has come is kept.
    """
    if name not in catalogue:
        raise ValueError(f"there is no published file {name!r}{nearest(name, catalogue)}")
    entry = catalogue[name]
    target = place_of(name, entry, folder)
    if target.exists():
        verify(target, entry)
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    if source is not None:
        check_source(Path(source), entry)
        with written_whole(target) as temporary:
            shutil.copyfile(source, temporary)
        return target
    addresses = ([mirror] if mirror else []) + list(entry.addresses)
    if not addresses or not entry.checksum:
        unknown = "checksum" if addresses else "verified address"
        raise ValueError(f"no {unknown} of {entry.file} is known; {by_hand(name, entry, target)}")
    part = target.with_name(target.name + ".part")
    faults = []
    for address in addresses:
        try:
            download(address, part, entry, quiet)
            verify(part, entry)
        except (OSError, ValueError, http.client.HTTPException) as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            faults.append(f"{address}: {' '.join(reason.split())}")
            if isinstance(error, ChecksumError):
                part.unlink(missing_ok=True)
            continue
        os.replace(part, target)
        return target
    kept = f" ({part.stat().st_size:,} bytes are kept, the next fetch goes on from there)" \
        if part.exists() and part.stat().st_size else ""
    raise OSError(f"{entry.file} could not be fetched{kept}: {'; '.join(faults)}; or "
                  f"{by_hand(name, entry, target)}")


def by_hand(name: str, entry: Entry, target: Path) -> str:
    home = f", from {entry.home}" if entry.home else ""
    return (f"download {entry.file} by hand{home}; then minifcn fetch {name} --from {entry.file} "
            f"puts it to {target}")


class ChecksumError(ValueError):
    """What came is not the file."""


def verify(path: Path, entry: Entry) -> None:
    """Raise ValueError if the file is another one."""
    if entry.size is not None and path.stat().st_size != entry.size:
        raise ChecksumError(f"{path} has {path.stat().st_size:,} bytes, {entry.file} has "
                            f"{entry.size:,}")
    if not entry.checksum:
        return
    kind, _, expected = entry.checksum.partition(":")
    digest = hashlib.new(kind)
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    if not digest.hexdigest().startswith(expected.lower()):
        raise ChecksumError(f"{path} has the {kind} {digest.hexdigest()}, {entry.file} has "
                            f"{expected}: it is damaged, or another file")


def check_source(path: Path, entry: Entry) -> None:
    """Raise unless the file is what it should be: by its checksum, else by what it holds."""
    if not path.is_file():
        raise FileNotFoundError(f"--from {path}: there is no such file")
    verify(path, entry)
    if not entry.checksum:
        identify(open_weights(path))


class SameHost(urllib.request.HTTPRedirectHandler):
    """Follows a server to another page of its own only."""

    def redirect_request(self, request, response, code, message, headers, address):
        here, there = urlsplit(request.full_url), urlsplit(address)
        if there.netloc != here.netloc or (here.scheme, there.scheme) == ("https", "http"):
            raise ValueError(f"it redirects to another host, {there.scheme}://{there.netloc}, "
                             "which is not followed")
        return super().redirect_request(request, response, code, message, headers, address)


def download(address: str, part: Path, entry: Entry, quiet: bool) -> None:
    """Bring ``part`` to its end, going on where it ends now."""
    if urlsplit(address).scheme not in ("http", "https"):
        raise ValueError("an address begins with https:// or http://")
    have = part.stat().st_size if part.exists() else 0
    if entry.size is not None and have >= entry.size:
        return                              # verified next
    request = urllib.request.Request(address, headers={"User-Agent": "minifcn"} | (
        {"Range": f"bytes={have}-"} if have else {}))
    opener = urllib.request.build_opener(SameHost)
    try:
        response = opener.open(request, timeout=SECONDS)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416 and have:      # nothing is left to send
                return
            raise OSError(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        raise OSError(f"it cannot be reached ({error.reason})") from error
    with response:
        if response.headers.get_content_type() in ("text/html", "application/xhtml+xml"):
            raise ValueError("the server sends a web page, not the file")
        if response.status != 206:
            have = 0
        elif not (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            raise ValueError("the server sends another part of the file than the one asked for")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length and length.isdecimal() else entry.size
        if entry.size is not None and total != entry.size:
            raise ValueError(f"the server has a file of {total:,} bytes, it should be "
                             f"{entry.size:,}")
        if (total or 0) > LARGEST:
            raise ValueError(f"the server has a file of {total:,} bytes, more than any weights")
        free = shutil.disk_usage(part.parent).free
        if (total or 0) - have > free:
            raise OSError(f"the disk of {part.parent} has {free / 1e6:,.0f} MB free, the file "
                          f"needs {(total - have) / 1e6:,.0f}")
        receive(response, part, have, total, quiet)


def receive(response, part: Path, have: int, total: int | None, quiet: bool) -> None:
    """Write what comes, and watch how fast it does."""
    with open(part, "r+b" if have else "wb") as file, progress.bar(
            quiet=quiet, total=total, initial=have, unit="B", unit_scale=True,
            desc=part.name.removesuffix(".part")) as bar:
        file.seek(have)
        since, got = time.monotonic(), 0
        while True:
            try:
                piece = response.read1(PIECE)
            except TimeoutError as error:
                raise OSError(f"the server sends nothing for {SECONDS} seconds, after "
                              f"{have:,} bytes") from error
            if not piece:
                break
            file.write(piece)
            have, got = have + len(piece), got + len(piece)
            bar.update(len(piece))
            if have > (total or LARGEST):
                raise ValueError("the server sends more than it said")
            seconds = time.monotonic() - since
            if seconds > WINDOW:
                if got < SLOWEST * seconds:
                    raise OSError(f"the server is too slow: {got:,} bytes in {seconds:.0f} seconds")
                since, got = time.monotonic(), 0
    if total is not None and have < total:
        raise OSError(f"the server stopped after {have:,} of {total:,} bytes")


def listing(catalogue: Mapping[str, Entry]) -> str:
    """The table, for people."""
    lines = []
    for name, entry in catalogue.items():
        how = entry.addresses[0] if entry.addresses and entry.checksum else \
            f"by hand from {entry.home or 'its publisher'}, then --from {entry.file}"
        size = f", {entry.size / 1e6:,.0f} MB" if entry.size else ""
        lines.append(f"{name}\n    {entry.what}{size}\n    {entry.file}: {how}\n    "
                     f"checksum: {entry.checksum or 'not known'}; licence: "
                     f"{entry.licence or 'not stated'}")
    return "\n".join(lines)
