"""Downloads from a server on 127.0.0.1: resumed, verified, and never believed."""
import errno
import hashlib
import os

import pytest

import minifcn
from minifcn.cli import main
from minifcn.weights import fetching
from minifcn.weights.catalogue import CATALOGUE, Entry
from minifcn.weights.fetching import fetch, local_file
from tests.weights import written
from tests.weights.server import serving

CONTENT = bytes(range(256)) * 800
SHA = hashlib.sha256(CONTENT).hexdigest()


def entry(*addresses, **fields):
    return {"mine": Entry(**{"file": "weights.pth", "what": "", "licence": "MIT",
                             "checksum": f"sha256:{SHA}", "addresses": addresses,
                             "home": "example.org", **fields})}


def fails(tmp_path, catalogue, message, **options):
    with pytest.raises((OSError, ValueError), match=message) as raised:
        fetch("mine", tmp_path, catalogue=catalogue, quiet=True, **options)
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "mine" / "weights.pth").exists()
    return str(raised.value)


def part(tmp_path):
    return tmp_path / "mine" / "weights.pth.part"


def test_a_file_is_fetched_verified_and_kept(tmp_path):
    with serving(CONTENT) as (address, handler):
        path = fetch("mine", tmp_path, catalogue=entry(address), quiet=True)
        assert path == tmp_path / "mine" / "weights.pth" and path.read_bytes() == CONTENT
        assert not part(tmp_path).exists()
        assert fetch("mine", tmp_path, catalogue=entry(address), quiet=True) == path
        assert len(handler.asked) == 1
    path.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"weights\.pth has the sha256 .* damaged, or another"):
        fetch("mine", tmp_path, catalogue=entry(address), quiet=True)


@pytest.mark.parametrize("manner", ["well", "no ranges"])
def test_it_goes_on_where_it_stopped(tmp_path, manner):
    with serving(CONTENT, "stops") as (address, handler):
        text = fails(tmp_path, entry(address), "stopped after 102,400 of 204,800 bytes")
        assert "102,400 bytes are kept, the next fetch goes on" in text
        handler.manner = manner
        path = fetch("mine", tmp_path, catalogue=entry(address), quiet=True)
        assert path.read_bytes() == CONTENT and handler.asked[1][1] == "bytes=102400-"


def test_a_part_that_is_whole_already(tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(CONTENT)
    with serving(CONTENT) as (address, _):
        assert fetch("mine", tmp_path, catalogue=entry(address), quiet=True).exists()


def test_mirrors_are_tried_in_turn(tmp_path):
    with serving(b"", "404") as (bad, _), serving(CONTENT) as (good, _):
        path = fetch("mine", tmp_path, catalogue=entry(bad, "ftp://127.0.0.1/a", good), quiet=True)
        assert path.read_bytes() == CONTENT
    with serving(b"", "404") as (bad, _), serving(CONTENT) as (good, handler):
        assert fetch("mine", tmp_path / "2", mirror=good, catalogue=entry(bad), quiet=True).exists()
        assert handler.asked


@pytest.mark.parametrize("manner, message", [
    ("404", "the server answers 404"), ("html", "sends a web page"),
    ("short", "stopped after 204,800 of 204,805"),
    ("redirect http://localhost:9/x", "redirects to another host, http://localhost:9"),
    ("redirect file:///etc/passwd", "is not allowed"),
])
def test_servers_that_behave_badly(tmp_path, manner, message):
    with serving(CONTENT, manner) as (address, _):
        text = fails(tmp_path, entry(address), message)
    assert "download weights.pth by hand, from example.org; then minifcn fetch mine --from" in text
    assert str(tmp_path) in text


def test_a_redirect_on_the_same_host_and_a_file_without_a_length(tmp_path):
    with serving(CONTENT, "redirect /moved") as (address, handler):
        assert fetch("mine", tmp_path / "1", catalogue=entry(address), quiet=True).exists()
        assert [path for path, _ in handler.asked] == ["/weights.pth", "/moved"]
        handler.manner = "no length"
        assert fetch("mine", tmp_path / "2", catalogue=entry(address), quiet=True).exists()


def test_another_part_than_the_one_asked_for(tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(CONTENT[:1000])
    with serving(CONTENT, "other part") as (address, _):
        fails(tmp_path, entry(address), "another part of the file")


def test_servers_that_hang_or_are_slow(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.3)
    with serving(CONTENT, "hangs") as (address, _):
        fails(tmp_path, entry(address), r"sends nothing for 0\.3 seconds, after 102,400")
    monkeypatch.setattr(fetching, "SECONDS", 60)
    monkeypatch.setattr(fetching, "WINDOW", 0.5)
    with serving(CONTENT, "drips") as (address, _):
        fails(tmp_path / "2", entry(address), "too slow")


def test_no_server(tmp_path):
    with serving(b"") as (address, _):
        pass
    fails(tmp_path, entry(address), "it cannot be reached")


def test_another_checksum_or_size(tmp_path):
    with serving(CONTENT + b"x") as (address, _):
        fails(tmp_path, entry(address), "it is damaged, or another file")
        assert not part(tmp_path).exists()          # or the next fetch would go on with it
        fails(tmp_path, entry(address, size=len(CONTENT)), "has a file of 204,801 bytes, it should")
    with serving(CONTENT) as (address, _):
        path = fetch("mine", tmp_path, quiet=True,
                     catalogue=entry(address, checksum=f"sha256:{SHA[:8]}", size=len(CONTENT)))
        assert path.exists()


def test_a_full_disk(tmp_path, monkeypatch):
    with serving(CONTENT) as (address, _):
        monkeypatch.setattr(fetching.shutil, "disk_usage",
                            lambda path: type("Usage", (), {"free": 1000}))
        fails(tmp_path, entry(address), "has 0 MB free")
        monkeypatch.undo()

        def full(*arguments):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(fetching, "receive", full)
        fails(tmp_path, entry(address), "No space left on device")


def test_a_file_by_hand(tmp_path):
    source = tmp_path / "Downloads.pth"
    source.write_bytes(CONTENT)
    path = fetch("mine", tmp_path, source, catalogue=entry(), quiet=True)
    assert path.read_bytes() == CONTENT and source.exists()
    source.write_bytes(CONTENT[:-1])
    fails(tmp_path / "2", entry(), "damaged, or another", source=source)
    fails(tmp_path / "2", entry(), "no such file", source=tmp_path / "missing")
    # without a checksum: it has to be what it is called
    fails(tmp_path / "2", entry(checksum=""), "no format of weights|cut off|damaged", source=source)
    vgg = minifcn.VGG16(2, width=1 / 64, fc_channels=2)
    written.caffemodel(source, written.torch_arrays(vgg))
    assert fetch("mine", tmp_path / "3", source, catalogue=entry(checksum="")).exists()


def test_without_address_or_checksum_nothing_is_guessed(tmp_path):
    fails(tmp_path, entry(), "no verified address of weights.pth is known; download .* by hand")
    fails(tmp_path, entry("http://127.0.0.1:9/a", checksum=""), "no checksum of weights.pth is")
    for name, each in CATALOGUE.items():
        assert each.licence and each.home and each.preprocessing, name
        assert not each.addresses or each.checksum, name
        assert all(address.startswith("https://") for address in each.addresses)
    with pytest.raises(ValueError, match="did you mean vgg16-keras"):
        fetch("vgg16-kears", tmp_path)


def test_names_where_a_file_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIFCN_CACHE", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="has not been fetched: minifcn fetch vgg16-timm"):
        local_file("vgg16-timm")
    with pytest.raises(FileNotFoundError, match="did you mean vgg16-timm"):
        local_file("vgg16-tim")
    place = tmp_path / "vgg16-timm" / "model.safetensors"
    place.parent.mkdir()
    place.write_bytes(b"")
    assert local_file("vgg16-timm") == place


# -- the whole path, on the command line -----------------------------------------------------------

TABLE = """
[course-vgg16]
file = "vgg16-course.pth"
what = "the VGG16 of our course"
licence = "MIT"
checksum = "sha256:{digest}"
size = {size}
addresses = ["{address}"]
"""


def test_a_table_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MINIFCN_CACHE", str(tmp_path / "cache"))
    table = tmp_path / "table.toml"
    with serving(CONTENT) as (address, _):
        table.write_text(TABLE.format(digest=SHA, size=len(CONTENT), address=address))
        assert main(["fetch", "--table", str(table)]) == 0
        assert "the VGG16 of our course" in capsys.readouterr().out
        assert main(["fetch", "course-vgg16", "--table", str(table)]) == 0
    path = tmp_path / "cache" / "course-vgg16" / "vgg16-course.pth"
    assert path.read_bytes() == CONTENT
    assert f"{path}: its sha256 is right; licence: MIT" in capsys.readouterr().out
    for text, message in (("[a]\nfile='../x'", "without a folder"), ("a = 1", "entry a"),
                          ("[a]\nsize=3", "entry a"), ("[a]\nfile='b'\ncolour=1", "colour"),
                          ("[a]\nfile='b'\nchecksum='crc:12345678'", "ALGORITHM:DIGEST"),
                          ("[[", "not a TOML file")):
        table.write_text(text)
        assert main(["fetch", "--table", str(table)]) == 2
        captured = capsys.readouterr().err
        assert message in captured and captured.count("\n") == 1
    assert main(["fetch", "--table", str(tmp_path / "missing")]) == 2


def test_the_list(capsys):
    assert main(["fetch"]) == 0
    shown = capsys.readouterr().out
    for name, each in CATALOGUE.items():
        assert name in shown and each.file in shown
