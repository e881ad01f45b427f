"""The zip around a dataset: what is refused before a member is read."""

from __future__ import annotations

import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.samples.made import npy, npz, pictures, write, zipped

from enginehouse.errors import DatasetUnreadable, RequestError, TooLarge
from samples import open_dataset
from samples.archive import Archive

ARRAY = npy([1.0, 2.0])


def opened(folder: Path, content: bytes) -> Archive:
    return Archive(write(folder, content))


@pytest.mark.parametrize("packed", [False, True])
def test_bytes_from_anywhere(tmp_path: Path, packed: bool) -> None:
    content = bytes(range(256)) * 40
    archive = opened(tmp_path, zipped({"a.npy": content, "b/c.npy": b"xyz"}, packed))
    assert archive.sizes == {"a.npy": 10240, "b/c.npy": 3}
    assert archive.at("a.npy", 5000, 300) == content[5000:5300]
    assert archive.at("a.npy", 10, 3) == content[10:13]  # backwards
    assert archive.at("a.npy", 10240, 0) == b""
    assert list(archive.pieces("a.npy", 10_000, 100)) == [
        content[10_000:10_100],
        content[10_100:10_200],
        content[10_200:],
    ]
    assert archive.whole("b/c.npy", 3) == b"xyz"
    with pytest.raises(DatasetUnreadable, match="has 3 bytes"):
        archive.whole("b/c.npy", 2)
    with pytest.raises(DatasetUnreadable, match="too early"):
        archive.at("b/c.npy", 2, 2 if packed else 200)


def test_folders_and_what_desktops_leave_are_passed_over(tmp_path: Path) -> None:
    files = {"x/": b"", "x/.DS_Store": b"1", "__MACOSX/x/._0.npy": b"2", "Thumbs.db": b"3", "x/0.npy": ARRAY}
    assert list(opened(tmp_path, zipped(files)).sizes) == ["x/0.npy"]


@pytest.mark.parametrize(
    "name",
    ["../x.npy", "/x.npy", "a/../x.npy", "a\\x.npy", "a//x.npy", "x\x1b[2J.npy", "x\u202ey.npy", "x" * 600 + ".npy"],
)
def test_names_that_point_outside_or_cannot_be_shown(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetUnreadable, match="plain relative name") as caught:
        opened(tmp_path, zipped({name: ARRAY}))
    assert caught.value.detail.isprintable()


def test_links(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("x.npy")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(DatasetUnreadable, match="link or device"):
        Archive(path)


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")
def test_a_name_twice(tmp_path: Path) -> None:
    path = tmp_path / "data"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", ARRAY)
        archive.writestr("x.npy", ARRAY)
    with pytest.raises(DatasetUnreadable, match=r"two files 'x\.npy'"):
        Archive(path)


def central(data: bytes, field: int, form: str, value: int) -> bytes:
    """The zip with a field of its first central directory entry changed."""
    at = data.index(b"PK\1\2") + field
    return data[:at] + struct.pack(form, value) + data[at + struct.calcsize(form) :]


@pytest.mark.parametrize(
    ("field", "form", "value", "says"),
    [
        (8, "<H", 1, "encrypted"),
        (10, "<H", 12, "packed in another way"),
        (10, "<H", 99, "packed in another way"),
        (20, "<L", 7, "another size"),
        (20, "<L", 2**31, "another size"),
        (24, "<L", 2**31, "another size"),
        (42, "<L", 2**31, "cannot be unpacked"),
        (42, "<L", 3, "cannot be unpacked"),
    ],
    ids=["encrypted", "bzip2", "unknown", "size in the zip", "beyond the file", "unpacked size", "place", "no header"],
)
def test_entries_that_lie(tmp_path: Path, field: int, form: str, value: int, says: str) -> None:
    data = central(zipped({"x.npy": ARRAY}), field, form, value)
    with pytest.raises(DatasetUnreadable, match=says):
        opened(tmp_path, data).whole("x.npy", 1000)


def test_bytes_that_are_not_those_of_the_checksum(tmp_path: Path) -> None:
    archive = opened(tmp_path, zipped({"x.npy": ARRAY}).replace(ARRAY, ARRAY[:-1] + b"\x7f"))
    with pytest.raises(DatasetUnreadable, match="CRC"):
        archive.whole("x.npy", 1000)


def test_what_unpacks_to_too_much(tmp_path: Path) -> None:
    path = write(tmp_path, zipped({"x.npy": bytes(10**7)}, packed=True))
    assert path.stat().st_size < 20_000
    with pytest.raises(TooLarge, match="unpacks to 10000000 bytes"):
        open_dataset(path, max_bytes=10**6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_dataset_is_an_answer_or_our_error(tmp_path: Path, data: st.DataObject) -> None:
    seed = data.draw(
        st.sampled_from(
            [npz(x=[[1.0], [2.0]]), zipped({"x/a.npy": ARRAY, "x/b.npy": ARRAY}, True), zipped(pictures(2))]
        )
    )
    at, put = data.draw(st.integers(0, len(seed) - 1)), data.draw(st.binary(min_size=1, max_size=4))
    path = write(tmp_path, seed[:at] + put + seed[at + data.draw(st.integers(0, 4)) :])
    try:
        dataset = open_dataset(path, 10**8)
        dataset.inputs()
        for index in range(dataset.samples):
            dataset.sample(index)
    except RequestError as error:
        assert error.detail.isprintable()
