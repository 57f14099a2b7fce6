"""A deployment is finished or falls back, whatever happens in the middle: on an engine in memory."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from moorage import flow
from moorage.console import Console
from moorage.errors import DeployError
from moorage.targets import private_files
from moorage.targets.compose import converge, deploy, probe, rollout, waiting
from moorage.targets.compose.deploy import Deployer, UpOptions
from moorage.targets.compose.place import Place
from moorage.targets.releases import KEPT, Release, Releases, read_tree
from moorage.tree import File
from tests.unit.given import deployment
from tests.unit.targets.compose.engine import Engine, FakeDocker, Killed, with_images

WEB = {"image": "web:1", "x-moorage": {"port": 80, "route": {"paths": ["/"]}, "health": {"path": "/h"}}}
APP: dict[str, Any] = {
    "x-moorage": {
        "requires": {"postgres": {}},
        "jobs": {"migrate": {"service": "web", "command": ["m"], "run": "before-rollout"}},
    },
    "services": {
        "web": WEB,
        "side": {"image": "side:1", "network_mode": "service:web"},
        "worker": {"image": "worker:1", "volumes": ["data:/data"], "environment": {"S": "${S}"}},
        "once": {"image": "web:1", "restart": "no"},
    },
    "volumes": {"data": None},
}


class Server:
    """A deployment folder and the engine below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = Place(folder, "compose")
        self.engine = Engine()
        self.answer = probe.Answer(200, "ok")
        FakeDocker.engine = self.engine

    @property
    def releases(self) -> Releases:
        return Releases(self.folder, "compose")

    def render(self, content: dict[str, Any], secret: str = "s3cr3t") -> None:
        found = deployment(self.folder, content, "secrets: [S]\n", secrets={"S": secret})
        rendering = flow.render(found.stack)
        rendering.public.write(self.place.rendered)
        private_files.write(rendering.private, self.place.private)
        self.engine.images |= with_images(self.place.rendered, self.engine.images)

    def up(self, content: dict[str, Any] | None = None, **options: Any) -> Release | None:
        """`moorage up`, without its checks."""
        if content is not None:
            self.render(content)
        return Deployer(self.place, Console(quiet=True)).up(UpOptions(**options))

    def running(self) -> dict[str, int]:
        """How many containers of each service are there."""
        names = [item.service for item in self.engine.containers.values()]
        return {name: names.count(name) for name in sorted(set(names))}


def test_a_migration_holds_the_lock_that_a_backup_takes(server: Server) -> None:
    server.up(APP)
    log = server.engine.log
    taken = next(
        number
        for number, text in enumerate(log)
        if text.startswith("compose exec -T -e PGAPPNAME=moorage up postgres psql")
    )
    job = next(number for number, text in enumerate(log) if text.startswith("compose run --rm --no-deps -T migrate"))
    ended = log.index("session ended")
    assert taken < job < ended


def test_without_a_migration_no_lock_is_taken(server: Server) -> None:
    content = {**APP, "x-moorage": {"requires": {"postgres": {}}}}
    server.up(content)
    assert "session ended" not in server.engine.log


def test_data_that_an_image_keeps_where_nothing_is_mounted_are_told(
    server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    server.render(APP)
    server.engine.declared = {server.engine.images["worker:1"]: ("/data", "/cache")}
    Deployer(server.place, Console()).up(UpOptions())
    told = capsys.readouterr()
    assert (told.out + told.err).count("worker: its image keeps data at /cache, and no volume") == 1
    assert "/data," not in told.out + told.err


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    found = Server(tmp_path)
    monkeypatch.setattr(deploy, "Docker", FakeDocker)
    monkeypatch.setattr(probe, "wait_for", lambda *_, **__: found.answer)
    monkeypatch.setattr(probe, "ask", lambda *_, **__: found.answer)
    for module in (waiting, rollout):
        monkeypatch.setattr(module.time, "sleep", lambda _: None)
    monkeypatch.setattr(waiting, "_QUIET_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "_GRACE_SECONDS", -1000)
    return found


def changed(**services: Any) -> dict[str, Any]:
    """The app with other keys in some services."""
    kept = {name: {**value, **services.pop(name, {})} for name, value in APP["services"].items()}
    return {**APP, "services": {**kept, **services}}


PLATFORM = ("postgres", "traefik", "edge-routes")
NORMAL = {"edge-routes": 1, "once": 1, "postgres": 1, "side": 1, "traefik": 1, "web": 1, "worker": 1}


def test_a_first_up_brings_everything_and_a_second_one_nothing(server: Server) -> None:
    first = server.up(APP)
    assert first is not None
    assert server.running() == NORMAL
    server.engine.log.clear()
    assert server.up(APP) is None
    assert server.up(APP, build=False) is None
    assert not [line for line in server.engine.log if line.startswith(("compose", "rm", "stop"))]
    assert server.releases.all() == (first,)


def test_pulling_always_makes_no_release_of_what_is_the_same(server: Server) -> None:
    content = {**APP, "services": {**APP["services"]}}
    server.render(content)
    text = (server.place.rendered / "stack.json").read_text()
    (server.place.rendered / "stack.json").write_text(text.replace('"pull": "missing"', '"pull": "always"'))
    assert server.up() is not None
    for _ in range(KEPT + 2):
        assert server.up() is None
    assert len(server.releases.all()) == 1


def test_a_change_without_any_container_runs_the_jobs_and_looks(server: Server) -> None:
    server.up(APP)
    other = {"migrate": {"service": "web", "command": ["other"], "run": "before-rollout"}}
    server.engine.log.clear()
    assert server.up({**APP, "x-moorage": {**APP["x-moorage"], "jobs": other}}) is not None
    assert [line for line in server.engine.log if line.startswith("compose run")] == [
        "compose run --rm --no-deps -T migrate"
    ]


ALONE = {**APP, "services": {name: APP["services"][name] for name in ("web", "worker")}}
CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "a rolling update": lambda: {**ALONE, "services": {**ALONE["services"], "web": {**WEB, "image": "web:2"}}},
    "a new image of the routed service": lambda: changed(web={"image": "web:2"}),
    "a new image of all": lambda: changed(
        web={"image": "web:2"}, worker={"image": "worker:2"}, side={"image": "side:2"}, once={"image": "web:2"}
    ),
    "a service that is gone": lambda: {
        **APP,
        "services": {name: APP["services"][name] for name in ("web", "once", "worker")},
    },
    "a service with a volume that is renamed": lambda: {
        **APP,
        "services": {
            **{name: APP["services"][name] for name in ("web", "once", "side")},
            "labourer": APP["services"]["worker"],
        },
    },
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=list(CHANGES))
def test_an_up_that_is_killed_at_any_command_is_finished_by_the_next_one(
    change: Callable[[], dict[str, Any]], server: Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    wanted = dict.fromkeys((*change()["services"], "postgres", "traefik", "edge-routes"), 1)
    for number in range(1000):
        again = Server(tmp_path_factory.mktemp("killed"))
        server.answer = again.answer
        before = again.up(ALONE if wanted.keys() <= {*ALONE["services"], *PLATFORM} else APP)
        again.render(change())
        again.engine.die_before = number
        try:
            again.up()
        except Killed:
            again.engine.die_before = -1
        else:
            assert number > 20
            return
        assert again.releases.current() is not None, number
        assert again.up() is not None or again.releases.current() != before, number
        assert not again.place.rollout_marker.exists(), number
        assert again.running() == dict(sorted(wanted.items())), number
        assert again.up() is None, number
        kept = {name.rpartition(":")[2] for name in again.engine.images if name.startswith("moorage-release/")}
        assert kept == {release.id for release in again.releases.all()}, number
        assert all(
            item.is_ready for item in again.engine.containers.values() if item.service not in ("once", "edge-routes")
        )
        (web,), side = again.engine.of("web"), again.engine.of("side")
        assert all(item.network_of == web.id for item in side), number


def test_a_broken_image_leaves_the_release_before(server: Server) -> None:
    first = server.up(APP)
    server.render(changed(worker={"image": "worker:2"}))
    server.engine.broken.add("worker:2")
    with pytest.raises(DeployError, match=f"release {first and first.id} serves"):
        server.up()
    assert server.running() == NORMAL
    assert [item.image for item in server.engine.of("worker")] == ["worker:1"]
    assert server.releases.current() == first


def test_an_engine_that_goes_away_is_no_image_that_is_gone(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.up(APP)
    server.render(changed(worker={"image": "worker:2"}))

    def goes(*_: Any, **__: Any) -> None:
        server.engine.is_away = True

    monkeypatch.setattr(converge.jobs, "run_before_rollout", goes)
    with pytest.raises(DeployError, match="Cannot connect to the Docker daemon") as error:
        server.up()
    assert "gone" not in error.value.message
    server.engine.is_away = False
    monkeypatch.undo()


def test_files_that_compose_refuses_stop_nothing(server: Server) -> None:
    first = server.up(APP)
    server.render(changed(worker={"image": "worker:2"}))
    server.engine.refuses = "services.web.prots: Additional property prots is not allowed"
    server.engine.log.clear()
    with pytest.raises(DeployError, match="prots is not allowed; nothing was changed"):
        server.up()
    assert not [line for line in server.engine.log if line.startswith(("compose up", "compose run", "rm", "stop"))]
    assert server.releases.current() == first


def test_containers_that_are_wanted_no_more_may_finish_their_work(server: Server) -> None:
    server.up(changed(worker={"deploy": {"replicas": 3}}))
    server.engine.log.clear()
    server.up(APP)
    assert server.running() == NORMAL
    ends = [line.split()[0] for line in server.engine.log if line.startswith(("stop", "rm --force worker"))]
    assert ends == ["stop", "rm", "stop", "rm"]


def test_a_full_disk_while_recording_is_said_and_made_up_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = server.up(APP)
    server.render(changed(worker={"image": "worker:2"}))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/srv/releases")

    with monkeypatch.context() as patch, pytest.raises(DeployError) as error:
        patch.setattr(Releases, "record", full)
        server.up()
    assert "serves, but could not be kept as a release: No space left on device: /srv/releases" in error.value.message
    assert "free some space" in error.value.hint
    assert server.releases.current() == first
    second = server.up()
    assert second is not None
    assert server.releases.before_current() == first


def test_a_full_disk_in_the_middle_falls_back(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    first = server.up(APP)
    server.render(changed(worker={"image": "worker:2"}))
    failures = [OSError(errno.ENOSPC, "No space left on device")]

    def full(*_: Any, **__: Any) -> None:
        if failures:
            raise failures.pop()

    monkeypatch.setattr(converge.jobs, "run_before_rollout", full)
    with pytest.raises(DeployError, match=f"No space left on device; release {first and first.id} serves"):
        server.up()


def test_a_rollback_that_fails_leaves_the_current_release_serving(server: Server) -> None:
    first = server.up(APP)
    second = server.up(changed(worker={"image": "worker:2"}))
    assert first is not None
    assert second is not None
    server.engine.broken.add("worker:1")
    with pytest.raises(DeployError, match=f"release {second.id} serves"):
        Deployer(server.place, Console(quiet=True)).go_back(first, second)
    assert server.running() == NORMAL
    assert [item.image for item in server.engine.of("worker")] == ["worker:2"]
    assert server.releases.current() == second
    assert server.up() is None


def test_a_release_that_is_not_whole_is_refused_before_anything_changes(server: Server) -> None:
    first = server.up(APP)
    server.up(changed(worker={"image": "worker:2"}))
    assert first is not None
    (first.private_folder / "env/worker.env").unlink()
    server.engine.log.clear()
    with pytest.raises(DeployError, match=r"release 0001-.* is not whole.*env/worker\.env is missing"):
        Deployer(server.place, Console(quiet=True)).restore(first)
    assert not [line for line in server.engine.log if line.startswith(("compose", "tag", "rm", "stop"))]


def test_a_release_whose_secrets_are_gone_names_the_way_out(server: Server) -> None:
    first = server.up(APP)
    server.up(changed(worker={"image": "worker:2"}))
    assert first is not None
    shutil.rmtree(first.private_folder)
    with pytest.raises(DeployError, match=r"can't be gone back to: its copy of the secrets, .*, is gone") as error:
        Deployer(server.place, Console(quiet=True)).restore(first)
    assert "moorage render" not in error.value.message + error.value.hint
    assert "moorage rollback --to" in error.value.hint


def test_a_rollback_to_another_database_is_refused(server: Server) -> None:
    first = server.up(APP)
    assert first is not None
    server.up(changed(worker={"image": "worker:2"}))
    stack = first.rendered / "stack.json"
    stack.write_text(stack.read_text().replace('"postgres_version": 17', '"postgres_version": 16'))
    with pytest.raises(DeployError, match="Postgres 17 → 16"):
        Deployer(server.place, Console(quiet=True)).restore(first)


def test_a_rollback_brings_secrets_and_their_rights_back(server: Server) -> None:
    first = server.up(APP)
    server.render(APP, secret="another")
    server.up()
    assert first is not None
    assert "another" in (server.place.private / "env/worker.env").read_text()
    Deployer(server.place, Console(quiet=True)).restore(first)
    assert "s3cr3t" in (server.place.private / "env/worker.env").read_text()
    assert (server.place.private / "env/worker.env").stat().st_mode & 0o777 == 0o600
    assert server.place.private.stat().st_mode & 0o777 == 0o700
    assert server.releases.current() == first


def test_a_rollback_runs_with_the_override_of_its_time(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    own = server.folder / "overrides/compose.yaml"
    own.parent.mkdir()
    own.write_text("# mine\nservices: {web: {environment: {P: pw-first}}}\n")
    first = server.up(APP)
    assert first is not None
    copy = server.place.private / "overrides/compose.yaml"
    assert copy.read_text() == own.read_text()
    for path in (copy, first.private_folder / "overrides/compose.yaml"):
        assert path.stat().st_mode & 0o777 == 0o600
    assert "secrets/compose/compose/overrides/compose.yaml" in (server.place.compose / ".env").read_text()
    assert not [
        path for path in server.place.rendered.rglob("*") if path.is_file() and b"pw-first" in path.read_bytes()
    ]
    own.write_text("services: {web: {environment: {P: pw-second}}}\n")
    server.up(APP)
    assert "second" in copy.read_text()
    Deployer(server.place, Console(quiet=True)).restore(first)
    assert "first" in copy.read_text()
    assert "second" in own.read_text()
    told = capsys.readouterr().err
    assert f"overrides/compose.yaml is another one now; release {first.id} runs with the one that it was made" in told


def test_an_override_that_the_release_did_not_have_is_told(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    first = server.up(APP)
    assert first is not None
    Deployer(server.place, Console(quiet=True)).restore(first)
    assert "overrides" not in capsys.readouterr().err
    (server.folder / "overrides").mkdir()
    (server.folder / "overrides/compose.yaml").write_text("services: {web: {environment: {P: pw-second}}}\n")
    server.up(APP)
    Deployer(server.place, Console(quiet=True)).restore(first)
    assert "runs with none" in capsys.readouterr().err


def with_network(*, internal: bool) -> dict[str, Any]:
    worker = {**APP["services"]["worker"], "networks": {"back": None, "default": None}}
    services = {**APP["services"], "worker": worker}
    return {**APP, "services": services, "networks": {"back": {"internal": internal}}}


def test_a_network_that_loses_its_way_out_is_made_anew_and_comes_back_with_a_failure(server: Server) -> None:
    server.up(with_network(internal=False))
    (web,) = server.engine.of("web")
    second = server.up(with_network(internal=True))
    assert second is not None
    assert server.engine.networks["acme_back"]
    assert server.running() == NORMAL
    assert server.engine.of("web") == [web]
    assert server.up() is None
    server.render(with_network(internal=False))
    server.engine.broken.add("worker:1")
    with pytest.raises(DeployError):
        server.up()
    server.engine.broken.clear()
    server.up(with_network(internal=True))
    assert server.engine.networks["acme_back"]
    assert server.running() == NORMAL


def test_an_override_decides_about_a_network(server: Server) -> None:
    (server.folder / "overrides").mkdir()
    (server.folder / "overrides/compose.yaml").write_text("networks: {back: {internal: true}, edge: {name: theirs}}\n")
    server.up(with_network(internal=False))
    assert server.engine.networks["acme_back"]
    assert "acme_edge" not in server.engine.networks
    assert server.up() is None


def test_a_container_that_a_human_removed_comes_back(server: Server) -> None:
    server.up(APP)
    for name in ("worker", "web"):
        (item,) = server.engine.of(name)
        del server.engine.containers[item.id]
        assert server.up() is not None or server.running() == NORMAL
        assert server.running() == NORMAL


def commands(server: Server, *beginnings: str) -> list[str]:
    """What was told to the engine."""
    return [line for line in server.engine.log if line.startswith(beginnings)]


def test_starting_what_was_stopped_makes_no_release(server: Server) -> None:
    first = server.up(APP)
    for _ in range(KEPT + 1):
        for service in ("traefik", "worker"):
            (item,) = server.engine.of(service)
            server.engine.containers[item.id] = replace(item, state="exited")
        assert server.up() == first
        assert all(item.is_ready for item in server.engine.of("worker"))
    (web,) = server.engine.of("web")
    del server.engine.containers[web.id]
    assert server.up() == first
    assert server.running() == NORMAL
    assert server.releases.all() == (first,)


def test_a_site_that_answers_with_errors_is_never_called_well(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody changed the role's password by hand: it is set again before anything is reported."""
    first = server.up(APP)

    def answer(*_: Any, **__: Any) -> probe.Answer:
        return probe.Answer(200 if commands(server, "compose exec -T postgres psql") else 500, "")

    monkeypatch.setattr(probe, "ask", answer)
    monkeypatch.setattr(probe, "wait_for", answer)
    server.engine.log.clear()
    assert server.up() == first
    assert "notes.example.com/ answers 500; every step is gone through again" in capsys.readouterr().err
    assert server.up() is None
    assert server.releases.all() == (first,)


def test_a_site_that_stays_ill_is_reported_after_every_step(server: Server) -> None:
    first = server.up(APP)
    assert first is not None
    server.answer = probe.Answer(503, "")
    server.engine.log.clear()
    with pytest.raises(DeployError, match=f"status 503; every step of release {first.id} was repeated"):
        server.up()
    assert commands(server, "compose exec -T postgres psql")
    assert not commands(server, "tag")


@pytest.mark.parametrize("state", [{"health": "unhealthy"}, {"state": "restarting", "restarts": 9, "exit_code": 1}])
def test_an_ill_container_starts_anew_after_the_databases_are_right(state: dict[str, Any], server: Server) -> None:
    first = server.up(APP)
    (item,) = server.engine.of("worker")
    server.engine.containers[item.id] = replace(item, **state)
    server.engine.log.clear()
    assert server.up() == first
    names = [line.split()[0] for line in commands(server, "compose exec -T postgres psql", "restart")]
    assert names == ["compose", "restart"]
    server.engine.containers[item.id] = replace(item, **state)
    server.engine.ill.add("worker")
    with pytest.raises(DeployError, match="worker runs, but its health check fails"):
        server.up()


def test_secret_files_that_changed_alone_are_a_change(server: Server) -> None:
    first = server.up(APP)
    server.render(APP)
    tree = read_tree(server.place.private)
    tree.files["files/postgres_password"] = File(b"another", 0o600)
    del tree.files["manifest.json"]
    tree.add("manifest.json", tree.manifest(), 0o600)
    private_files.write(tree, server.place.private)
    second = server.up()
    assert second is not None
    assert second != first


def test_a_damaged_current_release_still_guards_the_database(server: Server) -> None:
    server.up(APP)
    second = server.up(changed(worker={"image": "worker:2"}))
    assert second is not None
    (second.folder / "release.json").write_text("{")
    server.render(APP)
    stack = server.place.rendered / "stack.json"
    stack.write_text(stack.read_text().replace('"postgres_version": 17', '"postgres_version": 18'))
    with pytest.raises(DeployError, match="Postgres 17 → 18"):
        server.up()


def test_folders_inside_a_mount_are_open_and_those_around_are_not(tmp_path: Path) -> None:
    from moorage.tree import Tree

    tree = Tree()
    tree.add("files/web/conf/key.pem", "x", 0o600)
    folder = tmp_path / "secrets" / "compose" / "compose"
    private_files.write(tree, folder)
    for place, mode in (
        ("secrets", 0o700),
        ("secrets/compose", 0o700),
        ("secrets/compose/compose", 0o700),
        ("secrets/compose/compose/files/web/conf", 0o755),
        ("secrets/compose/compose/files/web/conf/key.pem", 0o600),
    ):
        assert (tmp_path / place).stat().st_mode & 0o777 == mode, place
