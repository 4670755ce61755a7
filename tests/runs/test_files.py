"""Opening an output never leads out of its workspace."""

import io
import os
import zipfile

import pytest

from apps.runs.files import OutputMissingError, open_output


@pytest.fixture
def workspace(tmp_path):
    (tmp_path / "secret.txt").write_text("secret")
    folder = tmp_path / "workspace"
    (folder / "out" / "part=1").mkdir(parents=True)
    (folder / "out" / "a.csv").write_text("x\n1\n")
    (folder / "out" / "part=1" / "b.csv").write_text("y\n2\n")
    return folder


def read(workspace, path):
    file, name = open_output(workspace, path)
    with file:
        return file.read(), name


def test_a_file_comes_as_it_is(workspace):
    assert read(workspace, "out/a.csv") == (b"x\n1\n", "a.csv")


def test_a_folder_comes_as_a_zip_without_links(workspace):
    os.symlink("/etc/passwd", workspace / "out" / "passwd")
    os.symlink(workspace.parent, workspace / "out" / "up")
    content, name = read(workspace, "out")
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert name == "out.zip"
    assert archive.namelist() == ["a.csv", "part=1/b.csv"]
    assert archive.read("part=1/b.csv") == b"y\n2\n"


@pytest.mark.parametrize(
    "path", ["../secret.txt", "out/../../secret.txt", "/etc/passwd", "", ".", "out/missing.csv", "out/a.csv/x", "a\0b"]
)
def test_a_path_that_leads_out_or_nowhere_is_refused(workspace, path):
    with pytest.raises(OutputMissingError):
        open_output(workspace, path)


def test_a_link_in_place_of_the_file_is_refused(workspace):
    (workspace / "out" / "a.csv").unlink()
    os.symlink(workspace.parent / "secret.txt", workspace / "out" / "a.csv")
    with pytest.raises(OutputMissingError):
        open_output(workspace, "out/a.csv")


def test_a_link_in_place_of_a_folder_above_is_refused(workspace):
    os.rename(workspace / "out", workspace / "moved")
    os.symlink(workspace.parent, workspace / "out")
    with pytest.raises(OutputMissingError):
        open_output(workspace, "out/secret.txt")


def test_a_pipe_in_place_of_the_file_does_not_hang(workspace):
    (workspace / "out" / "a.csv").unlink()
    os.mkfifo(workspace / "out" / "a.csv")
    with pytest.raises(OutputMissingError):
        open_output(workspace, "out/a.csv")
