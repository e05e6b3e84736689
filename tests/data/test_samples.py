"""Sample tables: fetched once, checked by hash, labelled by the sign of a clear rating."""

import hashlib
import io
import subprocess
import tarfile
from dataclasses import replace

import pytest

from transfuse.data import archives
from transfuse.data.archives import FOLDER_VARIABLE, Archive, fetch, member_of
from transfuse.data.samples import SAMPLES, sample
from transfuse.errors import DataError

NEWS = (
    b"1_1\t0.4\tNeither good nor bad.\r\n"
    b"1_2\t-1.5\tA grim &amp; costly ''plan''.\r\n"
    b"12_3\t2.0\t  A fine caf\xc3\xa9\xc2\xa0here.  \r\n"
    b"\r\n"
    b"12_4\t0.5\tExactly on the edge.\r\n"
    b"13_1\t0.51\tThe last line lacks its end"
)
INNER = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
MEMBER = "hutto_ICWSM_2014/nytEditorialSnippets_GroundTruth.txt"


def packed(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def archive_of(news):
    return packed({"vaderSentiment-3.3.2/README": b"", INNER: packed({MEMBER: news})})


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """Stands in for pip: hands out the given archive and counts how often it is asked."""
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    calls = []

    def install(content, sha256=None):
        archive = Archive("vaderSentiment", "3.3.2", sha256 or hashlib.sha256(content).hexdigest())

        def fetched(asked, folder):
            calls.append(asked)
            path = folder / asked.file
            path.write_bytes(content)
            return path

        monkeypatch.setitem(SAMPLES, "news", replace(SAMPLES["news"], archives=(archive,)))
        monkeypatch.setattr(archives, "fetch", fetched)
        return archive

    install.calls = calls
    return install


def test_clear_sentences_are_labelled_and_grouped_by_document(serve):
    serve(archive_of(NEWS))
    table = sample("news")
    assert table.texts() == [
        "A grim & costly ''plan''.",
        "A fine café\xa0here.",
        "The last line lacks its end",
    ]
    assert table.labels() == ["negative", "positive", "positive"]
    assert table.groups() == ["1", "12", "13"]
    assert table.values("rating") == [-1.5, 2.0, 0.51]
    assert table.values("id") == ["1_2", "12_3", "13_1"]


def test_a_file_that_is_not_utf8_is_read_as_latin1(serve):
    serve(archive_of(b"1\t2.0\tcaf\xe9"))
    assert sample("news").texts() == ["café"]


def test_the_second_call_reads_the_cache(serve, tmp_path):
    serve(archive_of(NEWS))
    first = sample("news")
    assert sample("news").fingerprint == first.fingerprint
    assert len(serve.calls) == 1
    # Nothing half-made stays behind, and the archive serves the other three samples.
    names = {path.name for path in (tmp_path / "cache" / "samples").iterdir()}
    assert names == {".lock", "news-3.3.2-1.parquet", "vaderSentiment-3.3.2.tar.gz"}


def test_a_wrong_hash_is_refused_and_nothing_is_kept(serve, tmp_path):
    serve(archive_of(NEWS), sha256="0" * 64)
    with pytest.raises(DataError, match=r"SHA-256 is .* expected 0000.*TRANSFUSE_SAMPLES"):
        sample("news")
    assert [path.name for path in (tmp_path / "cache" / "samples").iterdir()] == [".lock"]


def test_an_archive_placed_by_hand_is_used_and_checked(serve, monkeypatch, tmp_path):
    # Once: gzip notes the second in which it packs.
    content = archive_of(NEWS)
    archive = serve(content)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    with pytest.raises(DataError, match="no such file, though TRANSFUSE_SAMPLES is set"):
        sample("news")
    (tmp_path / archive.file).write_bytes(b"something else")
    with pytest.raises(DataError, match="SHA-256"):
        sample("news")
    (tmp_path / archive.file).write_bytes(content)
    assert len(sample("news")) == 3
    assert not serve.calls


def test_bad_lines_are_named_all_at_once(serve):
    serve(archive_of(b"1_1\t2.0\tgood\r\n1_2\tmuch\tbad\r\njust words\r\n1_3\t1.0\t \r\n"))
    with pytest.raises(DataError) as caught:
        sample("news")
    places = [problem.where for problem in caught.value.problems]
    assert [place.rsplit(" ", 1)[-1] for place in places] == ["2", "3", "4"]


def test_a_damaged_cache_file_is_named(serve, tmp_path):
    serve(archive_of(NEWS))
    sample("news")
    (tmp_path / "cache" / "samples" / "news-3.3.2-1.parquet").write_bytes(b"PAR1 cut off")
    with pytest.raises(DataError, match="Delete it"):
        sample("news")


def test_a_cache_that_cannot_be_written_is_named(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRANSFUSE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="TRANSFUSE_CACHE"):
        sample("news")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(DataError, match="Did you mean 'movies'"):
        sample("movie")


def test_a_link_a_directory_and_a_huge_file_are_not_read(monkeypatch):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as opened:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        opened.addfile(link)
    with pytest.raises(DataError, match="not an ordinary file"):
        member_of(buffer.getvalue(), "link")
    with pytest.raises(DataError, match="no such file"):
        member_of(buffer.getvalue(), "other")
    monkeypatch.setattr(archives, "_LARGEST", 10)
    with pytest.raises(DataError, match="11 bytes"):
        member_of(packed({"large": b"x" * 11}), "large")


# gzip writes the time into an archive, so names of its bytes would differ between workers.
@pytest.mark.parametrize(
    "content", [b"", b"not gzip", archive_of(NEWS)[:80]], ids=["empty", "other", "cut off"]
)
def test_a_broken_archive_is_an_error(content):
    with pytest.raises(DataError):
        member_of(content, INNER)


VADER = Archive("vaderSentiment", "3.3.2", "0" * 64)


def test_without_pip_the_error_says_how_to_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr(archives.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"ensurepip.*TRANSFUSE_SAMPLES"):
        fetch(VADER, tmp_path)


def test_what_pip_says_is_passed_on(monkeypatch, tmp_path):
    def run(command, **options):
        # Everything that pins the download is on the command line or in the pinned file.
        assert "--require-hashes" in command
        pinned = (tmp_path / "pinned.txt").read_text(encoding="utf-8")
        assert pinned == f"vaderSentiment==3.3.2 --hash=sha256:{'0' * 64}\n"
        return subprocess.CompletedProcess(command, 1, "", "noise\nERROR: no network here\n")

    monkeypatch.setattr(archives.subprocess, "run", run)
    with pytest.raises(DataError, match=r"no network here.*put it in a folder"):
        fetch(VADER, tmp_path)


def test_a_silent_pip_is_given_up(monkeypatch, tmp_path):
    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(archives.subprocess, "run", run)
    with pytest.raises(DataError, match="no answer in 300 seconds"):
        fetch(VADER, tmp_path)
