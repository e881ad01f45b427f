"""The SDK: ``Client`` speaks the farm's REST. Synchronous, typed, one sub-object per thing.

    with Client() as farm:
        model = farm.models.push("net.onnx")
        job = farm.jobs.submit(model=model.id, targets=["openvino:fp16"])
        job = farm.jobs.wait(job)
        farm.artifacts.download(job.builds[0].artifact, "out")

Every method raises the exceptions of ``enginehouse.errors``.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx2
from pydantic import BaseModel, ValidationError

from enginehouse.batch import BatchRequest, BatchView, RebuildRequest
from enginehouse.bundle import Manifest
from enginehouse.collection import Collection
from enginehouse.comparison import Comparison
from enginehouse.connection import TRIES, Answered, Connection, error_from, parsed
from enginehouse.dataset_folder import folder_source
from enginehouse.datasets import ImageRecipe
from enginehouse.download import download_artifact, download_files
from enginehouse.errors import NotFound, RequestError
from enginehouse.fingerprint import Fingerprint, this_host
from enginehouse.logs import follow_log
from enginehouse.operations import Drain, Maintenance, Prioritise, Reasoned, Retry
from enginehouse.people import AuditView, MemberRequest, MemberView, PersonView, Role, WhoView
from enginehouse.request import JobChanges, JobRequest
from enginehouse.resolution import Resolution, ResolveRequest
from enginehouse.saved_model_folder import GRAPH, name_of
from enginehouse.settings import client_settings
from enginehouse.sources import BytesSource, Progress, Source, file_source, model_sources, no_progress
from enginehouse.states import JOB_ENDED, JobState, Priority
from enginehouse.targets import parse_target
from enginehouse.transfer import DIRECT_BYTES, LONG_S, Counter, hashed, streamed, upload
from enginehouse.uploads import DatasetRequest, ModelRequest, UploadedFile
from enginehouse.views import (
    ArtifactView,
    AttachmentView,
    BuildView,
    DatasetView,
    Event,
    EventPage,
    Health,
    JobView,
    KeyView,
    LogLine,
    LogPage,
    MaintenanceView,
    ModelView,
    Page,
    PoolView,
    ProjectChange,
    ProjectView,
    QuarantineView,
    ReachView,
    TokenView,
    WorkerView,
)
from enginehouse.watch import OnEvent, events, wait
from enginehouse.webhook_client import Webhooks


class Client:
    """A farm. Address and token: see ``enginehouse.settings.client_settings``.

    ``timeout`` is the time for an answer to begin, seconds; uploads, downloads and waits have their own.
    """

    def __init__(self, url: str | None = None, token: str | None = None, timeout: float = 30.0) -> None:
        self.settings = client_settings(url, token)
        self.connection = Connection(self.settings, timeout)
        self.models = Models(self.connection)
        self.datasets = Datasets(self.connection)
        self.jobs = Jobs(self.connection)
        self.builds = Builds(self.connection)
        self.artifacts = Artifacts(self.connection)
        self.workers = Workers(self.connection)
        self.batches = Batches(self.connection)
        self.projects = Projects(self.connection)
        self.pools = Pools(self.connection)
        self.tokens = Tokens(self.connection)
        self.persons = Persons(self.connection)
        self.members = Members(self.connection)
        self.webhooks = Webhooks(self.connection)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self.connection.close()

    def health(self) -> Health:
        """Each part's state; also when the farm is not ready. One try."""
        try:
            with self.connection.open("GET", "/readyz") as response:
                response.read()
        except Answered as answer:  # 503 comes with the parts' states too
            if answer.response.headers.get("content-type", "").partition(";")[0] != "application/json":
                raise error_from(answer.response) from None
            response = answer.response
        return parsed(response, Health)

    def keys(self) -> Page[KeyView]:
        """The public keys with which the farm's signatures are checked (``enginehouse.bundle_check``)."""
        return self.connection.get("/v1/keys", Page[KeyView])

    def maintenance(self) -> MaintenanceView:
        """Whether the farm is in maintenance."""
        return self.connection.get("/v1/maintenance", MaintenanceView)

    def set_maintenance(self, on: bool, reason: str = "") -> MaintenanceView:
        """Let the farm dispatch nothing, or go on with it; needs the scope 'operate'."""
        body = Maintenance(on=on, reason=reason)
        return parsed(self.connection.send("PUT", "/v1/maintenance", body=body), MaintenanceView)

    def resolve(self, model: str, host: Fingerprint | None = None, **wishes: Any) -> Resolution:
        """The best artifact of a model for a host, by default this one. ``wishes``: fields of ResolveRequest.

        ``best`` is None where there is none; ``code`` and ``reason`` then say why, ``job`` what builds one.
        """
        body = _request(ResolveRequest, {"model": model, "host": host or this_host(), **wishes})
        return self.connection.post("/v1/resolve", Resolution, body=body)

    def collect(self, *, dry_run: bool = False) -> Collection:
        """One pass of retention over the whole farm, or what it would do; needs the scope 'operate'."""
        params = {"dry_run": dry_run}
        return parsed(self.connection.send("POST", "/v1/gc", params=params, timeout=LONG_S), Collection)

    def me(self) -> WhoView:
        """Who the token is, and what it may do."""
        return self.connection.get("/v1/me", WhoView)

    def audit(
        self,
        who: str | None = None,
        action: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        everywhere: bool = False,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[AuditView]:
        """Who asked for which change, newest first; needs the scope 'admin', and ``everywhere`` the scope 'operate'."""
        params = {
            "who": who,
            "action": action,
            "since": since.isoformat() if since is not None else None,
            "until": until.isoformat() if until is not None else None,
            "everywhere": everywhere or None,
            "limit": limit,
            "after": after,
        }
        return self.connection.get("/v1/audit", Page[AuditView], params=params)

    def events_page(
        self, after: int = 0, limit: int = 100, kinds: Sequence[str] | None = None, job: str | None = None
    ) -> EventPage:
        """Events after a cursor, oldest first, without waiting for any; its ``next`` is the cursor to go on with.

        ``kinds``: 'job.succeeded', 'build.*' and the like.
        """
        named = ",".join(kinds) if kinds is not None else None
        params = {"after": after, "limit": limit, "kinds": named, "job": job}
        return self.connection.get("/v1/events/list", EventPage, params=params)

    def events(self, job: str | None = None, after: int | None = None) -> Iterator[Event]:
        """Events as they are committed, without end, over lost connections. ``after`` is a cursor, 0 the beginning."""
        return events(self.connection, job, after)


Body = TypeVar("Body", bound=BaseModel)


class _Part:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection


class Models(_Part):
    """Uploaded source models."""

    def push(
        self,
        model: str | Path | bytes,
        name: str | None = None,
        files: Sequence[str | Path] | None = None,
        progress: Progress = no_progress,
    ) -> ModelView:
        """Upload a model, or find it: bytes that the farm holds are not sent again.

        The external data of an ONNX model goes along when the ``onnx`` package is installed; else name the
        files beside the model in ``files``. ``model`` may be the folder of a TensorFlow SavedModel, which goes whole.
        ``name`` is for people, by default the file's or folder's name.
        """
        source = model if isinstance(model, bytes) else Path(model)
        sources = model_sources(source, [Path(file) for file in files] if files is not None else None)
        called = name if name is not None else ("" if isinstance(source, bytes) else name_of(source))[:200]
        hashes = [hashed(item, progress) for item in sources]
        if len(sources) == 1:
            try:
                return self.get(hashes[0])
            except NotFound:
                pass
            # A stream has no path, and by its path alone a graph is told from other protobufs.
            if sources[0].size <= DIRECT_BYTES and sources[0].path != GRAPH:
                return parsed(
                    _direct(self._connection, "/v1/models", called, sources[0], hashes[0], progress), ModelView
                )
        for item, sha256 in zip(sources, hashes, strict=True):
            upload(self._connection, item, sha256, progress)
        # A lone file keeps its own name; beside external data it is what the locations are relative to.
        listed = [UploadedFile(path=item.path, sha256=sha) for item, sha in zip(sources, hashes, strict=True)]
        body = ModelRequest(name=called, files=listed)
        return self._connection.post("/v1/models", ModelView, body=body, timeout=LONG_S)

    def get(self, model: str) -> ModelView:
        """One model by its id."""
        return self._connection.get(f"/v1/models/{model}", ModelView)

    def share(self, model: str, *, shared: bool = True) -> ModelView:
        """Let other projects that send the same bytes be answered with what was built of it, or no longer."""
        method = "PUT" if shared else "DELETE"
        return parsed(self._connection.send(method, f"/v1/models/{model}/shared"), ModelView)

    def delete(self, model: str) -> None:
        """Forget the model; what was built of it stays. Raises Conflict while a build in flight needs it."""
        self._connection.send("DELETE", f"/v1/models/{model}", tries=1)

    def targets(self, model: str) -> Page[ReachView]:
        """Where the model can go, and why not elsewhere."""
        return self._connection.get(f"/v1/models/{model}/targets", Page[ReachView])

    def download(self, model: str, folder: str | Path, progress: Progress = no_progress) -> ModelView:
        """Bring the model's files back into ``folder``; resumable, every byte checked."""
        found = self.get(model)
        download_files(self._connection, f"/v1/models/{model}/files", found.files, Path(folder), progress)
        return found

    def list(self, limit: int = 50, after: str | None = None) -> Page[ModelView]:
        """Models, newest first; ``after`` is the ``next`` of the page before."""
        return self._connection.get("/v1/models", Page[ModelView], params={"limit": limit, "after": after})


class Datasets(_Part):
    """Named, versioned sample inputs."""

    def push(
        self,
        data: str | Path | bytes,
        name: str | None = None,
        progress: Progress = no_progress,
        recipe: ImageRecipe | None = None,
    ) -> DatasetView:
        """Upload a .npz, a .zip or a folder as the next version of ``name`` (by default the file's or folder's name).

        A folder holds .npy arrays, or pictures with their recipe.json or ``recipe`` in its place; the same files make
        the same version. Raises DatasetUnreadable for a folder that is no dataset, before anything is sent.
        """
        source: Source
        path = None if isinstance(data, bytes) else Path(data)
        if path is not None and path.is_dir():
            source = folder_source(path.resolve(), recipe)
        elif recipe is not None:
            raise RequestError("a recipe is for a folder of pictures", advice="A zip brings its own recipe.json.")
        elif isinstance(data, bytes):
            if name is None:
                raise RequestError("a dataset given as bytes needs a name", advice="Give name=...")
            source = BytesSource(path=name, data=data, size=len(data))
        else:
            source = file_source(Path(data))
        called = name if name is not None else Path(source.path).stem.lower()
        try:
            body = DatasetRequest(name=called, sha256="0" * 64)
        except ValidationError:
            raise RequestError(
                f"{called!r} cannot name a dataset",
                advice="Use lower-case letters, digits, '_', '.' and '-', beginning with a letter or digit.",
            ) from None
        sha256 = hashed(source, progress)
        if source.size <= DIRECT_BYTES:
            return parsed(_direct(self._connection, "/v1/datasets", called, source, sha256, progress), DatasetView)
        upload(self._connection, source, sha256, progress)
        body = body.model_copy(update={"sha256": sha256})
        return self._connection.post("/v1/datasets", DatasetView, body=body, timeout=LONG_S)

    def get(self, dataset: str) -> DatasetView:
        """One dataset version by its id."""
        return self._connection.get(f"/v1/datasets/{dataset}", DatasetView)

    def delete(self, dataset: str) -> None:
        """Forget NAME@VERSION. Raises Conflict while a job that has not ended needs it."""
        self._connection.send("DELETE", f"/v1/datasets/{dataset}", tries=1)

    def list(self, limit: int = 50, after: str | None = None) -> Page[DatasetView]:
        """Dataset versions, newest first."""
        return self._connection.get("/v1/datasets", Page[DatasetView], params={"limit": limit, "after": after})


class Jobs(_Part):
    """Submissions."""

    def submit(
        self, request: JobRequest | None = None, *, idempotency_key: str | None = None, **fields: Any
    ) -> JobView:
        """Submit a request, given whole or as its fields. Safe over lost connections: the key makes it one job."""
        body = request if request is not None else job_request(**fields)
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._connection.post("/v1/jobs", JobView, body=body, headers=headers)

    def get(self, job: str) -> JobView:
        """One job with its builds."""
        return self._connection.get(f"/v1/jobs/{job}", JobView)

    def list(
        self, state: JobState | str | None = None, model: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[JobView]:
        """Jobs, newest first."""
        params = {"state": str(state) if state else None, "model": model, "limit": limit, "after": after}
        return self._connection.get("/v1/jobs", Page[JobView], params=params)

    def wait(self, job: str | JobView, timeout: float | None = None, on_event: OnEvent | None = None) -> JobView:
        """The job when it has ended. Raises TimeoutError when ``timeout`` (seconds) is over; the job goes on.

        Its events, older ones too, go to ``on_event`` until the end is known.
        """
        if isinstance(job, JobView):
            if job.state in JOB_ENDED:
                return job
            job = job.id
        return wait(self._connection, job, timeout, on_event)

    def cancel(self, job: str) -> JobView:
        """Ask that the job's builds stop."""
        return self._connection.post(f"/v1/jobs/{job}/cancel", JobView)

    def retry(self, job: str, elsewhere: bool = False) -> JobView:
        """Those of its builds that failed or were cancelled, as a new job; ``elsewhere``: by other workers."""
        return _again(self._connection, f"/v1/jobs/{job}/retry", Retry(elsewhere=elsewhere))

    def clone(self, job: str, **changes: Any) -> JobView:
        """The whole job as a new one. ``changes``: fields of JobRequest that take the place of its own."""
        targets = changes.get("targets")
        if isinstance(targets, list | tuple):
            changes["targets"] = [parse_target(one) if isinstance(one, str) else one for one in targets]
        given = _request(JobChanges, changes)
        return _again(self._connection, f"/v1/jobs/{job}/clone", given.model_dump_json(exclude_unset=True).encode())

    def prioritise(self, job: str, priority: Priority | str) -> JobView:
        """Give what it still has to build another place in the line: 'low', 'normal' or 'high'."""
        body = _request(Prioritise, {"priority": priority})
        return parsed(self._connection.send("PATCH", f"/v1/jobs/{job}", body=body), JobView)


class Batches(_Part):
    """Many jobs as one."""

    def submit(self, jobs: Sequence[JobRequest], name: str = "", *, idempotency_key: str | None = None) -> BatchView:
        """Submit all of the jobs, or none. Safe over lost connections: the key makes it one batch."""
        body = _request(BatchRequest, {"name": name, "jobs": list(jobs)})
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._connection.post("/v1/batches", BatchView, body=body, headers=headers)

    def rebuild(self, artifacts: Sequence[str], *, idempotency_key: str | None = None, **wishes: Any) -> BatchView:
        """Build artifacts again; what has become worse than its own report is not promoted.

        ``wishes`` are the fields of ``RebuildRequest``.
        """
        body = _request(RebuildRequest, {"artifacts": list(artifacts), **wishes})
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        return self._connection.post("/v1/batches/rebuild", BatchView, body=body, headers=headers)

    def get(self, batch: str) -> BatchView:
        """One batch with its jobs."""
        return self._connection.get(f"/v1/batches/{batch}", BatchView)

    def list(self, limit: int = 50, after: str | None = None) -> Page[BatchView]:
        """Batches, newest first, without their jobs."""
        return self._connection.get("/v1/batches", Page[BatchView], params={"limit": limit, "after": after})

    def cancel(self, batch: str) -> BatchView:
        """Ask that its jobs stop."""
        return self._connection.post(f"/v1/batches/{batch}/cancel", BatchView)


class Builds(_Part):
    """The (model, target) pairs of jobs."""

    def get(self, build: str) -> BuildView:
        """One build."""
        return self._connection.get(f"/v1/builds/{build}", BuildView)

    def log_page(self, build: str, after: int = 0, attempt: int | None = None) -> LogPage:
        """Lines after a sequence number, of one attempt (the newest by default)."""
        params = {"after": after, "attempt": attempt}
        return self._connection.get(f"/v1/builds/{build}/log", LogPage, params=params)

    def log(self, build: str, follow: bool = False, attempt: int | None = None) -> Iterator[LogLine]:
        """The log's lines; with ``follow`` until the build ends, over all its attempts."""
        return follow_log(self, build, follow, attempt)

    def attachment(self, build: str, name: str, attempt: int | None = None) -> AttachmentView:
        """A file that a failed attempt (the newest by default) left, such as reproduce.py."""
        url = f"/v1/builds/{build}/attachments/{name}"
        return self._connection.get(url, AttachmentView, params={"attempt": attempt})

    def compare(self, builds: Sequence[str]) -> Comparison:
        """Two to eight builds (or artifacts, by their ids) side by side; the first is the base of every ratio.

        Raises NoReport for a build that has none.
        """
        return self._connection.get("/v1/compare", Comparison, params={"builds": ",".join(builds)})

    def cancel(self, build: str) -> BuildView:
        """Ask that the build stops."""
        return self._connection.post(f"/v1/builds/{build}/cancel", BuildView)

    def retry(self, build: str, elsewhere: bool = False) -> JobView:
        """What failed or was cancelled, as a new job; ``elsewhere``: by other workers."""
        return _again(self._connection, f"/v1/builds/{build}/retry", Retry(elsewhere=elsewhere))

    def quarantine(self, limit: int = 50, after: str | None = None) -> Page[QuarantineView]:
        """What ended its attempts by the farm's fault and is not tried again; needs the scope 'operate'."""
        params = {"limit": limit, "after": after}
        return self._connection.get("/v1/quarantine", Page[QuarantineView], params=params)

    def release(self, build: str) -> QuarantineView:
        """Let what this build asks for be tried again; needs the scope 'operate'."""
        return self._connection.post(f"/v1/builds/{build}/release", QuarantineView)


class Artifacts(_Part):
    """Bundles that builds have yielded."""

    def list(self, model: str | None = None, limit: int = 50, after: str | None = None) -> Page[ArtifactView]:
        """Artifacts, newest first."""
        params = {"model": model, "limit": limit, "after": after}
        return self._connection.get("/v1/artifacts", Page[ArtifactView], params=params)

    def get(self, artifact: str) -> ArtifactView:
        """One artifact: manifest and report."""
        return self._connection.get(f"/v1/artifacts/{artifact}", ArtifactView)

    def pin(self, artifact: str, note: str = "") -> ArtifactView:
        """Keep its files, whatever their age and the store's budget. Raises ArtifactEvicted when they are gone."""
        body = _PinRequest(note=note)
        return parsed(self._connection.send("PUT", f"/v1/artifacts/{artifact}/pin", body=body), ArtifactView)

    def unpin(self, artifact: str) -> ArtifactView:
        """Keep it no longer than others are kept."""
        return parsed(self._connection.send("DELETE", f"/v1/artifacts/{artifact}/pin"), ArtifactView)

    def download(self, artifact: str, folder: str | Path, progress: Progress = no_progress) -> Manifest:
        """Bring the whole bundle into ``folder``; resumable, every byte checked against the artifact's id."""
        return download_artifact(self._connection, artifact, Path(folder), progress)


class Workers(_Part):
    """The farm's hands."""

    def list(self) -> Page[WorkerView]:
        """All workers that the farm remembers."""
        return self._connection.get("/v1/workers", Page[WorkerView])

    def drain(self, worker: str, reason: str = "", leave: bool = False) -> WorkerView:
        """Let it finish what it holds, take nothing new, and with ``leave`` end. By name or id; needs 'operate'."""
        return self._connection.post(f"/v1/workers/{worker}/drain", WorkerView, body=Drain(reason=reason, leave=leave))

    def pause(self, worker: str, reason: str = "") -> WorkerView:
        """Let it take nothing new; needs the scope 'operate'."""
        return self._connection.post(f"/v1/workers/{worker}/pause", WorkerView, body=Reasoned(reason=reason))

    def resume(self, worker: str) -> WorkerView:
        """Let it take work again; needs the scope 'operate'."""
        return self._connection.post(f"/v1/workers/{worker}/resume", WorkerView)


class Pools(_Part):
    """All workers that may stand in for each other are one pool."""

    def list(self) -> Page[PoolView]:
        """Those with workers online and those that are paused."""
        return self._connection.get("/v1/pools", Page[PoolView])

    def pause(self, pool: str, reason: str = "") -> PoolView:
        """Dispatch nothing to it; needs the scope 'operate'."""
        return self._connection.post(f"/v1/pools/{pool}/pause", PoolView, body=Reasoned(reason=reason))

    def resume(self, pool: str) -> PoolView:
        """Dispatch to it again; needs the scope 'operate'."""
        return self._connection.post(f"/v1/pools/{pool}/resume", PoolView)


class NewToken(TokenView):
    """A token just made. ``token`` is the secret, shown this once."""

    token: str


class Projects(_Part):
    """The farm's tenants; needs the scope 'operate'. Fields are those of ``ProjectChange``."""

    def list(self) -> Page[ProjectView]:
        """All of them, with shares, quotas and what they use."""
        return self._connection.get("/v1/projects", Page[ProjectView])

    def create(self, name: str, **fields: Any) -> ProjectView:
        """Make one. One try: a repeated request would find the name taken."""
        body = _ProjectRequest.model_validate({"name": name, **fields})
        return self._connection.post("/v1/projects", ProjectView, body=body, tries=1)

    def change(self, name: str, **fields: Any) -> ProjectView:
        """Change what is given; None for a quota makes it the farm's own."""
        body = _request(ProjectChange, fields)
        content = body.model_dump_json(exclude_unset=True).encode()
        sent = {"Content-Type": "application/json"}
        return parsed(self._connection.send("PATCH", f"/v1/projects/{name}", headers=sent, body=content), ProjectView)


class Tokens(_Part):
    """Tokens of the project; needs the scope 'admin'."""

    def create(
        self, name: str, scopes: Sequence[str], expires_days: int | None = None, project: str | None = None
    ) -> NewToken:
        """Make a token; one for another project needs the scope 'operate'.

        One try: a repeated request would make a second token.
        """
        body = _TokenRequest(name=name, scopes=list(scopes), expires_days=expires_days, project=project)
        return self._connection.post("/v1/tokens", NewToken, body=body, tries=1)

    def list(self) -> Page[TokenView]:
        """All tokens, without their secrets."""
        return self._connection.get("/v1/tokens", Page[TokenView])

    def revoke(self, token: str) -> None:
        """The token with this id is refused from now on."""
        self._connection.send("DELETE", f"/v1/tokens/{token}")


class Persons(_Part):
    """Who signs in; needs the scope 'operate'."""

    def list(self, limit: int = 50, after: str | None = None) -> Page[PersonView]:
        """All of them, newest first."""
        return self._connection.get("/v1/persons", Page[PersonView], params={"limit": limit, "after": after})

    def get(self, login: str) -> PersonView:
        """One, by the name that they sign in with."""
        return self._connection.get(f"/v1/persons/{_quoted(login)}", PersonView)

    def create(self, login: str, *, name: str = "", password: str | None = None, operator: bool = False) -> PersonView:
        """Enter one. Without a password they are invited to sign in through the farm's provider."""
        body = {"login": login, "name": name, "operator": operator, **({"password": password} if password else {})}
        return parsed(self._send("POST", "/v1/persons", body, tries=1), PersonView)

    def change(self, login: str, **fields: Any) -> PersonView:
        """Change ``name``, ``password``, ``operator`` or ``disabled``: what is given."""
        return parsed(self._send("PATCH", f"/v1/persons/{_quoted(login)}", fields), PersonView)

    def sign_out(self, login: str) -> None:
        """End all of their sessions."""
        self._connection.send("DELETE", f"/v1/persons/{_quoted(login)}/sessions")

    def _send(self, method: str, url: str, body: dict[str, Any], tries: int = TRIES) -> httpx2.Response:
        sent = {"Content-Type": "application/json"}  # and no model, which would hide the password
        return self._connection.send(method, url, headers=sent, body=json.dumps(body).encode(), tries=tries)


class Members(_Part):
    """Who is what in the project; another one than the token's needs the scope 'operate'."""

    def list(self, project: str | None = None, limit: int = 50, after: str | None = None) -> Page[MemberView]:
        """By name."""
        params = {"project": project, "limit": limit, "after": after}
        return self._connection.get("/v1/members", Page[MemberView], params=params)

    def put(self, login: str, role: Role | str, project: str | None = None) -> MemberView:
        """Make a person a member, or change their role; needs the scope 'admin'."""
        body = _request(MemberRequest, {"role": role})
        url = f"/v1/members/{_quoted(login)}"
        return parsed(self._connection.send("PUT", url, params={"project": project}, body=body), MemberView)

    def remove(self, login: str, project: str | None = None) -> None:
        """They are a member no longer; needs the scope 'admin'."""
        self._connection.send("DELETE", f"/v1/members/{_quoted(login)}", params={"project": project})


class _PinRequest(BaseModel):
    note: str


class _TokenRequest(BaseModel):
    name: str
    scopes: list[str]
    expires_days: int | None = None
    project: str | None = None


class _ProjectRequest(ProjectChange):
    name: str


def _quoted(login: str) -> str:
    return quote(login, safe="@")


def _again(connection: Connection, url: str, body: BaseModel | bytes) -> JobView:
    """A new job from an old one; the key makes it one, however often the request is sent."""
    headers = {"Idempotency-Key": str(uuid.uuid4()), "Content-Type": "application/json"}
    return parsed(connection.send("POST", url, body=body, headers=headers), JobView)


def _direct(
    connection: Connection, url: str, name: str, source: Source, sha256: str, progress: Progress
) -> httpx2.Response:
    """Push as one streamed request. It may be repeated: the farm knows the bytes by their SHA-256."""

    def body() -> Iterator[bytes]:
        return streamed(source, Counter("upload", source.size, progress))

    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(source.size),
        "X-Content-SHA256": sha256,
    }
    return connection.send("POST", url, params={"name": name}, headers=headers, body=body, timeout=LONG_S)


def job_request(**fields: Any) -> JobRequest:
    """A request from its fields; targets in short form are read first, so that their errors keep their codes."""
    for name in ("targets", "baselines"):
        if isinstance(given := fields.get(name), list | tuple):
            fields[name] = [parse_target(target) if isinstance(target, str) else target for target in given]
    return _request(JobRequest, fields)


def _request(cls: type[Body], fields: dict[str, Any]) -> Body:
    """A request's body. Raises RequestError, which names every field that is wrong."""
    try:
        return cls.model_validate(fields)
    except ValidationError as error:
        found = [
            {"place": ".".join(map(str, item["loc"])), "says": item["msg"]}
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise RequestError("; ".join(f"{item['place']}: {item['says']}" for item in found), fields=found) from None
