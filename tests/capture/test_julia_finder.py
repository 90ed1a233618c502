"""Which Julia is found, what is rejected and why: scripts that play a Julia, and real ones."""

from __future__ import annotations

import os
import socket
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmsb.base.errors import JuliaNotFound
from mmsb.capture import install, julia_download
from mmsb.capture import julia as finder
from mmsb.capture.julia import Candidate

Fake = Callable[..., Path]
SEGFAULT = "kill -SEGV $$"
CAUGHT = "echo mmsb caught"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any Julia, apt or juliapkg; returns the one folder that is on its PATH."""
    for name in ("MMSB_JULIA", "LD_LIBRARY_PATH"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("bash", "sleep"):
        (folder / tool).symlink_to(Path("/bin") / tool)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("MMSB_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(finder, "DEBIAN_JULIA", tmp_path / "no-such" / "julia")
    monkeypatch.setattr(install, "DEBIAN_JULIA", tmp_path / "no-such" / "julia")
    monkeypatch.setitem(sys.modules, "juliapkg", None)
    return folder


@pytest.fixture
def fake(machine: Path) -> Fake:
    """Makes an executable that answers as a Julia of that version would, then does ``then``."""

    def make(name: str, version: str, then: str = CAUGHT, folder: Path = machine) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / name
        path.write_text(f"#!/bin/bash\necho mmsb {version}\n{then}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def _rejected(path: Path) -> str:
    candidate = finder.probe("MMSB_JULIA", str(path))
    assert not candidate.ok
    return candidate.reason


# What a single Julia must do to pass


def test_a_julia_that_catches_its_throw_is_usable(fake: Fake) -> None:
    path = fake("julia", "1.10.3")
    assert finder.probe("PATH", str(path)) == Candidate(
        "PATH", str(path), "1.10.3", ok=True, reason="usable"
    )


def test_a_julia_that_segfaults_on_the_throw_is_rejected(fake: Fake) -> None:
    reason = _rejected(fake("julia", "1.5.3", SEGFAULT))
    assert reason == "fails when compiled code throws and catches: killed by SIGSEGV"


def test_a_shell_that_reports_a_segfault_of_its_child_reads_the_same(fake: Fake) -> None:
    assert "killed by SIGSEGV" in _rejected(fake("julia", "1.5.3", "exit 139"))


def test_mmsbs_own_libunwind_mends_it(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = install.data_folder() / "libunwind/usr/lib/some-machine"
    folder.mkdir(parents=True)
    (folder / "libunwind.so.8").touch()
    monkeypatch.setenv("LD_LIBRARY_PATH", "/before")
    mended = f"{folder}:/before"
    path = fake("julia", "1.5.3", f'[ "$LD_LIBRARY_PATH" = "{mended}" ] && {CAUGHT} || {SEGFAULT}')
    candidate = finder.probe("Debian", str(path))
    assert candidate.ok
    assert candidate.env == {"LD_LIBRARY_PATH": mended}
    assert candidate.reason == "usable with mmsb's own libunwind"
    assert os.environ["LD_LIBRARY_PATH"] == "/before"


def test_too_old(fake: Fake) -> None:
    assert _rejected(fake("julia", "1.4.2")).startswith("older than 1.5")


def test_a_julia_that_hangs_is_given_up(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "PROBE_SECONDS", 0.3)
    started = time.monotonic()
    assert _rejected(fake("julia", "1.10.3", "exec sleep 5")) == "no answer within 0.3 s"
    assert time.monotonic() - started < 3


def test_a_file_that_is_not_executable(fake: Fake) -> None:
    path = fake("julia", "1.10.3")
    path.chmod(0o644)
    assert _rejected(path) == "cannot be run: Permission denied"


def test_a_file_that_is_not_there(machine: Path) -> None:
    assert _rejected(machine / "julia") == "cannot be run: No such file or directory"


@pytest.mark.parametrize("then", ["exit 0", "exit 3", r"printf '\xff\xfe\x00'", "echo oops >&2"])
def test_garbage_is_not_a_julia(fake: Fake, then: str) -> None:
    assert _rejected(fake("julia", "not a version", then)).startswith("does not answer as Julia")


# Which of several is chosen


def test_the_newest_usable_is_chosen(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    old = fake("old", "1.6.7")
    broken = fake("broken", "1.12.0", SEGFAULT)
    newest = fake("julia", "1.10.10")
    fake("julia-1.9", "1.9.4")
    monkeypatch.setenv("MMSB_JULIA", f"{old}:{broken}")
    decision = finder.find()
    listed = [(c.source, c.version, c.ok) for c in decision.candidates]
    assert listed == [
        ("MMSB_JULIA", "1.6.7", True),
        ("MMSB_JULIA", "1.12.0", False),
        ("PATH", "1.10.10", True),
        ("PATH", "1.9.4", True),
        ("juliapkg", None, False),
        ("Debian", None, False),
    ]
    assert decision.chosen is not None
    assert decision.chosen.path == str(newest)
    assert decision.why == "Julia 1.10.10 from PATH is the newest of 3 usable"
    assert [c.version for c in finder.find_all()] == ["1.10.10", "1.9.4", "1.6.7"]


def test_a_development_version_is_older_than_its_release(fake: Fake) -> None:
    fake("julia", "1.13.0-DEV.77")
    fake("julia-1.13", "1.13.0")
    assert [c.version for c in finder.find_all()] == ["1.13.0", "1.13.0-DEV.77"]


def test_one_file_under_two_names_is_one_julia(fake: Fake, machine: Path) -> None:
    (machine / "julia").symlink_to(fake("julia-1.10", "1.10.3"))
    assert len(finder.find_all()) == 1
    same = finder.find().candidates[1]
    assert same.reason == f"the same file as {machine / 'julia'}: usable"


def test_an_entry_of_mmsb_julia_is_a_file_a_folder_or_a_name(
    fake: Fake, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = fake("some-julia", "1.10.1", folder=tmp_path / "a")
    inside = fake("julia", "1.10.2", folder=tmp_path / "b" / "bin")
    named = fake("my-julia", "1.10.3")
    monkeypatch.setenv("MMSB_JULIA", f"{file}:{tmp_path / 'b'}::my-julia")
    paths = [c.path for c in finder.find().candidates if c.source == "MMSB_JULIA"]
    assert paths == [str(file), str(inside), str(named)]


def test_a_useless_mmsb_julia_is_said(fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake("julia", "1.10.3")
    monkeypatch.setenv("MMSB_JULIA", "/no/such/julia")
    assert finder.find().why.endswith("nothing that MMSB_JULIA names is usable")


def test_no_julia_at_all(machine: Path) -> None:
    decision = finder.find()
    assert decision.chosen is None
    assert [(c.source, c.reason) for c in decision.candidates] == [
        ("PATH", "no julia on PATH"),
        ("juliapkg", "juliapkg is not installed"),
        ("Debian", "Debian's julia is not installed"),
    ]
    with pytest.raises(JuliaNotFound, match="mmsb doctor --install"):
        finder.require()


def test_a_decision_is_plain_data(fake: Fake) -> None:
    path = fake("julia", "1.10.3")
    plain = finder.find().to_dict()
    assert plain["chosen"]["path"] == str(path)
    assert [c["source"] for c in plain["candidates"]] == ["PATH", "juliapkg", "Debian"]


# juliapkg, in its child process


@pytest.fixture
def juliapkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A juliapkg whose ``find_julia`` has the body given; its download host is on this machine."""
    package = tmp_path / "packages" / "juliapkg"
    package.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.syspath_prepend(package.parent)
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    host = tmp_path / "versions.json"
    host.touch()

    def make(body: str, url: str = host.as_uri()) -> None:
        (package / "__init__.py").touch()
        (package / "compat.py").write_text("class Compat:\n    parse = str\n")
        (package / "state.py").write_text("STATE = {'install': '/prefix'}\n")
        (package / "install_julia.py").write_text(f"_julia_versions_url = {url!r}\n")
        (package / "find_julia.py").write_text(
            f"def find_julia(wanted, prefix, install):\n    {body}\n"
        )

    return make


def test_juliapkg_is_asked_for_the_versions_of_the_package(juliapkg: Callable[..., None]) -> None:
    juliapkg("assert not install; return (f'/{wanted}{prefix}', None)")
    assert julia_download.ask_juliapkg() == Path("/^1.10.3/prefix")


def test_juliapkg_never_downloads_unless_asked(juliapkg: Callable[..., None]) -> None:
    juliapkg("raise Exception('downloading' if install else 'none here')")
    with pytest.raises(install.InstallFailed, match=r"^its finder says: none here$"):
        julia_download.ask_juliapkg()


def test_a_download_shows_progress(juliapkg: Callable[..., None]) -> None:
    juliapkg("assert install; print('[juliapkg] Downloading'); return ('/new/julia', None)")
    told: list[str] = []
    path = julia_download.ask_juliapkg(download=True, progress=told.append)
    assert path == Path("/new/julia")
    assert told == ["asking for the Julia that juliapkg would download", "Downloading"]


def test_a_crash_of_juliapkg_is_one_clause(juliapkg: Callable[..., None]) -> None:
    juliapkg("import os; print('almost there', flush=True); os._exit(9)")
    with pytest.raises(install.InstallFailed, match=r"^its finder says: almost there$"):
        julia_download.ask_juliapkg()


def test_an_unreachable_download_host_is_one_clause(juliapkg: Callable[..., None]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    juliapkg("raise Exception('none')", url=f"http://127.0.0.1:{port}/")
    with pytest.raises(install.InstallFailed, match=r"not reach its download host: .*refused"):
        julia_download.ask_juliapkg(download=True)


@pytest.mark.parametrize("child_gives_up", [True, False], ids=["child", "parent"])
def test_a_network_that_swallows_everything_is_given_up(
    juliapkg: Callable[..., None], monkeypatch: pytest.MonkeyPatch, child_gives_up: bool
) -> None:
    """A silent socket is the child's to give up, a stuck name server is the parent's."""
    monkeypatch.setattr(julia_download, "CONNECT_SECONDS", 0.5)
    if not child_gives_up:
        deaf = julia_download._FINDER.replace("timeout=seconds", "timeout=60")
        monkeypatch.setattr(julia_download, "_FINDER", deaf)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        juliapkg("raise Exception('none')", url=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        started = time.monotonic()
        with pytest.raises(install.InstallFailed, match="could not reach its download host"):
            julia_download.ask_juliapkg(download=True)
    assert time.monotonic() - started < 10


def test_the_real_juliapkg_finds_a_julia_or_says_so() -> None:
    pytest.importorskip("juliapkg")
    asked = {c.source: c for c in finder.find().candidates}["juliapkg"]
    assert asked.path is not None or asked.reason.startswith("its finder says: could not find")


# Installing, with nothing installed in truth


def test_finding_never_installs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finder, "install_debian", lambda _: pytest.fail("it installs"))
    monkeypatch.setattr(finder, "_download", lambda _: pytest.fail("it downloads"))
    assert finder.find().chosen is None


def test_nothing_is_installed_where_a_julia_is_usable(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("julia", "1.10.3")
    monkeypatch.setattr(finder, "install_debian", lambda _: pytest.fail("it installs"))
    monkeypatch.setattr(finder, "_download", lambda _: pytest.fail("it downloads"))
    assert finder.find(install=True).chosen is not None


def test_debians_julia_is_installed_when_none_can_be_downloaded(
    fake: Fake, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finder, "install_debian", lambda _: fake("julia", "1.5.3"))
    told: list[str] = []
    chosen = finder.find(install=True, progress=told.append).chosen
    assert chosen is not None
    assert chosen.version == "1.5.3"
    assert told == ["juliapkg is not installed"]


def test_a_machine_without_apt_is_told_what_to_do(machine: Path) -> None:
    decision = finder.find(install=True)
    assert decision.chosen is None
    assert decision.why.startswith("there is no Julia that mmsb can use, and none could be")
    assert "this machine has no apt-get" in decision.why


def _command(machine: Path, name: str, body: str) -> None:
    path = machine / name
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def test_only_root_installs(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for tool in ("apt-get", "dpkg-deb"):
        _command(machine, tool, "exit 1")
    _command(machine, "sudo", "exit 1")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(install.InstallFailed, match="only root can install"):
        install.install_debian(lambda _: None)


@pytest.fixture
def apt(machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An apt that installs nothing: what it does not know of, it says. Returns its etc folder."""
    etc = tmp_path / "etc"
    monkeypatch.setattr(install, "SOURCE_FILE", etc / "mmsb.sources")
    monkeypatch.setattr(install, "PIN_FILE", etc / "mmsb.pin")
    monkeypatch.setattr(install, "KEYRING", tmp_path / "keyring")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (tmp_path / "keyring").touch()
    for tool in ("env", "install", "rm"):
        (machine / tool).symlink_to(Path("/usr/bin") / tool)
    for tool in ("apt-cache", "dpkg-deb"):
        _command(machine, tool, "exit 0")
    return etc


@pytest.mark.parametrize("step", ["update", "install", "download"])
def test_a_failing_apt_is_one_sentence_and_leaves_no_source(
    machine: Path, apt: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(install, "_mirror", lambda _: "http://localhost/debian")
    fails = f'[[ " $* " != *" {step} "* ]] || {{ echo "E: no luck" >&2; exit 100; }}'
    _command(machine, "apt-get", fails)
    told: list[str] = []
    with pytest.raises(install.InstallFailed, match=f"apt-get {step} .*|.* failed: E: no luck"):
        install.install_debian(told.append)
    assert told[0].startswith("adding Debian's older suite")
    assert list(apt.iterdir()) == []


def test_the_mirror_is_the_one_the_machine_uses(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = "ID=debian\nVERSION_CODENAME=bookworm\n"
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: release)
    targets = [("http://a/debian-security/", "bookworm-security"), ("http://a/debian/", "bookworm")]
    assert install._mirror(targets) == "http://a/debian/"
    with pytest.raises(install.InstallFailed, match="no Debian mirror"):
        install._mirror(targets[:1])


# The Julias of this machine


def test_a_real_julia_catches_what_it_throws(julia: Candidate) -> None:
    again = finder.probe(julia.source, str(julia.path))
    assert (again.ok, again.version, again.env) == (True, julia.version, julia.env)


def test_a_real_julia_that_needs_mmsbs_libunwind_is_rejected_without_it(
    julia: Candidate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMSB_DATA", str(tmp_path))
    alone = finder.probe(julia.source, str(julia.path))
    assert alone.ok == (not julia.env)
    assert alone.ok or alone.reason.endswith("killed by SIGSEGV")


def test_the_shim_is_found() -> None:
    assert (finder.shim_path() / "Project.toml").is_file()
