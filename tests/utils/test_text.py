"""Text of other people's files: encodings, bounds, and what is no file."""

import gzip

import pytest

from avalib.utils import text
from avalib.utils.limits import MAX_LABEL_MAP_BYTES
from avalib.utils.text import decode_text, open_binary, read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_no_letter(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("fällt\r\n跌倒".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "fällt\r\n跌倒"


def test_utf_16_big_endian_is_read():
    assert decode_text(b"\xfe\xff" + "walk".encode("utf-16-be"), "a.txt") == "walk"


@pytest.mark.parametrize(
    ("content", "encoding", "name"),
    [
        ("walkA,2,跌倒", "gbk", "GBK"),
        ("walkA,2,転ぶ,歩く", "shift_jis", "Shift-JIS"),
        ("walkA,2,tombé à terre", "cp1252", "Windows-1252"),
        ("walkA,2,넘어짐", "euc_kr", "EUC-KR"),
    ],
)
def test_another_encoding_is_named_with_what_it_would_say(tmp_path, content, encoding, name):
    (tmp_path / "a.csv").write_bytes(b"first line\n" + content.encode(encoding))
    with pytest.raises(ValueError, match=r"a\.csv, line 2: .*UTF-8") as error:
        read_text(tmp_path / "a.csv")
    assert f"{name} ({content!r})" in str(error.value)


def test_utf_16_without_a_mark_is_named():
    with pytest.raises(ValueError, match="UTF-16 without a byte-order mark"):
        decode_text("a,902,0.1\n".encode("utf-16-le"), "a.csv")


def test_gzip_is_undone_whatever_the_suffix(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"walk"))
    assert read_text(tmp_path / "a.csv") == "walk"


def test_a_gzip_bomb_stops_at_the_limit(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(bytes(1 << 25)))
    with pytest.raises(ValueError, match=r"a\.csv\.gz.*more than 16,777,216 bytes.*MAX_LABEL_MAP_BYTES"):
        open_binary(tmp_path / "a.csv.gz", MAX_LABEL_MAP_BYTES)


def test_a_gzip_bomb_stops_at_half_of_the_free_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(text, "get_available_memory_bytes", lambda: 2_000_000)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(bytes(1 << 22)))
    with pytest.raises(ValueError, match="more than 1,000,000 bytes.*MAX_FILE_BYTES, or half of the free memory"):
        open_binary(tmp_path / "a.csv.gz")


def test_a_large_file_is_refused_before_it_is_read(tmp_path):
    with open(tmp_path / "a.csv", "wb") as file:
        file.truncate(9 << 30)
    with pytest.raises(ValueError, match="9,663,676,416 bytes, more than the limit MAX_FILE_BYTES"):
        open_binary(tmp_path / "a.csv")


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data[:20] + b"\xff" * 9 + data[29:]])
def test_damaged_gzip_is_named(tmp_path, damage):
    (tmp_path / "a.csv.gz").write_bytes(damage(gzip.compress(bytes(range(256)) * 9)))
    with pytest.raises(ValueError, match=r"a\.csv\.gz: a damaged gzip file"):
        read_text(tmp_path / "a.csv.gz")


def test_what_is_no_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv: no such file"):
        read_text(tmp_path / "none.csv")
    with pytest.raises(IsADirectoryError, match="a folder; expected a file"):
        read_text(tmp_path)
    with pytest.raises(ValueError, match="int.*expected a path or an open file"):
        open_binary(5)
    with pytest.raises(ValueError, match="expected a file's name"):
        read_text("a\0.csv")


@pytest.mark.slow
def test_a_gzip_that_grows_a_thousandfold_is_refused(tmp_path):
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(bytes(1 << 27)))
    with pytest.raises(ValueError, match=r"a\.csv\.gz: [\d,]+ bytes that unpack to .*MAX_UNPACKED_RATIO"):
        open_binary(tmp_path / "a.csv.gz")
