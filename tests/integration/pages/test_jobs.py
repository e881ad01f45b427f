"""Jobs, a job, a build and a comparison as pages: what they say, what they escape, what they let one do."""

from __future__ import annotations

import re

import pytest
from farmhand import Farmhand, build, job, push, submit, tick
from flask.testing import FlaskClient
from integration.api.support import tiny_model
from integration.pages.reading import Reading, keeps_to_the_policy
from onnx import TensorProto, helper

from enginehouse.errors import UnsupportedOperator
from enginehouse.report import Layer
from enginehouse.states import BuildState, JobState
from enginehouse.views import JobView
from enginehouse.work import LogBatch, WorkLogLine
from scheduler import attempts
from scheduler.farm import Farm
from scheduler.registry.engine import now

EVIL = "<script>alert(1)</script>"
BROWSER = {"Accept": "text/html,*/*;q=0.8"}


def read(client: FlaskClient, path: str, status: int = 200) -> Reading:
    answer = client.get(path, headers=BROWSER)
    assert answer.status_code == status, answer.text[-2000:]
    return keeps_to_the_policy(answer.text)


def evil_model() -> bytes:
    """A model whose every name is a script tag."""
    node = helper.make_node("Mul", [EVIL, "w"], ["out" + EVIL], name="node" + EVIL)
    graph = helper.make_graph(
        [node],
        EVIL,
        [helper.make_tensor_value_info(EVIL, TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("out" + EVIL, TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [2.0])],
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name=EVIL
    ).SerializeToString()


@pytest.fixture
def model(farm: Farm) -> str:
    return push(farm, tiny_model(), "recogniser")


@pytest.fixture
def done(farm: Farm, model: str) -> JobView:
    """A job of which one build succeeded and one failed in its second attempt's log."""
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp16", "openvino:fp32", name="night")
    good, bad = (one.id for one in made.builds)
    for id_ in (good, bad):
        tick(farm)
        claim = hand.claim(id_)
        with farm.read() as session:
            moment = now(session)
        lines = [WorkLogLine(seq=n, time=moment, text=f"line {n}") for n in range(1, 4)]
        attempts.log(farm, id_, LogBatch(fence=claim.fence, lines=lines))
        if id_ == good:
            hand.complete(claim)
        else:
            failure = UnsupportedOperator(
                "NonMaxSuppression-11 has no kernel", operator="NonMaxSuppression", node="/nms"
            )
            hand.fail(claim, failure.failure(), attachments={"reproduce.py": "print('again')\n"})
    return job(farm, made.id)


def test_an_empty_list_teaches_the_first_step(admin: FlaskClient):
    found = read(admin, "/jobs")
    assert "No job yet" in found.text
    assert "enginehouse submit MODEL.onnx" in found.text


def test_the_list_shows_jobs_in_words_and_follows_them(admin: FlaskClient, farm: Farm, done: JobView):
    answer = admin.get("/jobs").text
    found = keeps_to_the_policy(answer)
    assert "night" in found.text
    assert "recogniser" in found.text
    assert {f"/jobs/{done.id}", *(f"/builds/{one.id}" for one in done.builds)} <= set(found.addresses)
    assert re.search(r'sse-connect="/v1/events\?after=\d+"', answer)
    assert f'hx-get="/jobs?upto={done.id}"' in answer
    later = submit(farm, done.model, "openvino:fp16", name="later", seed=5)
    again = read(admin, f"/jobs?upto={done.id}")
    assert "1 newer job: show" in again.text
    assert later.id not in again.text
    assert "later" in read(admin, "/jobs").text


@pytest.mark.parametrize(
    ("query", "there"),
    [
        ("state=failed", True),
        ("state=succeeded", False),
        ("text=NIGHT", True),
        ("text=day", False),
        ("target=openvino%3Afp16&priority=normal&state=", True),
        ("priority=high", False),
        ("pool=none", False),
    ],
)
def test_what_is_looked_for_stands_in_the_address(admin: FlaskClient, done: JobView, query: str, there: bool):
    found = read(admin, f"/jobs?{query}")
    assert (f"/jobs/{done.id}" in found.addresses) is there
    assert ("No job is like that" in found.text) is not there


def test_what_nobody_can_look_for_says_what_is_wrong(admin: FlaskClient):
    assert "query.state" in read(admin, "/jobs?state=nope", 422).text
    assert "query.colour" in read(admin, "/jobs?colour=red", 422).text


def test_older_jobs_are_a_page_away_with_the_same_filters(admin: FlaskClient, farm: Farm, model: str):
    for number in range(52):
        submit(farm, model, "openvino:fp32", seed=number, name=f"n-{number:02d}")
    text = admin.get("/jobs?text=n-").text
    assert "n-51" in text
    assert "n-01" not in text
    following = re.search(r'href="(/jobs\?[^"]*after=[^"]+)" rel="next"', text)
    assert following is not None
    older = admin.get(following[1].replace("&amp;", "&")).text
    assert "n-01" in older
    assert "n-51" not in older
    assert 'rel="first"' in older


def test_ticked_jobs_are_cancelled_and_what_cannot_be_says_so(admin: FlaskClient, farm: Farm, done: JobView):
    two = [submit(farm, done.model, "openvino:fp16", seed=n).id for n in (7, 8)]
    body = {"action": "cancel", "job": two, "back": "state=waiting&text=x"}
    answer = admin.post("/jobs/actions", data=body)
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/jobs?state=waiting&text=x"
    assert all(job(farm, one).state is JobState.CANCELLED for one in two)
    answer = admin.post("/jobs/actions", data={"action": "cancel", "job": [done.id, "job_none"], "back": ""})
    assert answer.status_code == 409
    assert "2 jobs could not be cancelled" in Reading(answer.text).text
    assert f"job {done.id} is failed" in answer.text


def test_ticked_jobs_are_built_again(admin: FlaskClient, farm: Farm, done: JobView):
    answer = admin.post("/jobs/actions", data={"action": "retry", "job": [done.id, done.id]})
    assert answer.status_code == 303
    assert admin.get("/jobs").text.count('<tr id="job_') == 2


@pytest.mark.parametrize("back", ["//evil.example", "https://evil.example", "state=nope", "x=%00"])
def test_the_way_back_is_never_elsewhere(admin: FlaskClient, done: JobView, back: str):
    answer = admin.post("/jobs/actions", data={"action": "retry", "job": [done.id], "back": back})
    assert answer.status_code == 422 or answer.headers["Location"].startswith("/jobs")


def test_a_job_says_what_became_of_it(admin: FlaskClient, done: JobView):
    found = read(admin, f"/jobs/{done.id}")
    assert "1 of 2 builds failed: " in found.text
    assert "NonMaxSuppression-11 has no kernel" in found.text
    assert "Timeline" in found.text
    assert f"enginehouse job show {done.id}" in found.text
    assert "sse-connect" not in admin.get(f"/jobs/{done.id}").text  # it will not change any more


def test_a_job_that_waits_says_why_and_where_in_line(admin: FlaskClient, farm: Farm, model: str):
    made = submit(farm, model, "openvino:fp16")
    text = admin.get(f"/jobs/{made.id}").text
    assert "waits: " in text
    assert re.search(rf'sse-connect="/v1/events\?job={made.id}&amp;after=\d+"', text)
    Farmhand(farm)
    submit(farm, model, "openvino:fp16", seed=2)
    tick(farm)
    assert "ahead of it" in admin.get(f"/jobs/{submit(farm, model, 'openvino:fp16', seed=3).id}").text


def test_what_one_can_do_with_a_job(admin: FlaskClient, farm: Farm, done: JobView):
    for action in ("retry", "clone"):
        answer = admin.post(f"/jobs/{done.id}/{action}")
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/jobs/job_")
        assert answer.headers["Location"] != f"/jobs/{done.id}"
    waits = submit(farm, done.model, "openvino:fp16", seed=11)
    assert admin.post(f"/jobs/{waits.id}/priority", data={"priority": "high"}).status_code == 303
    assert job(farm, waits.id).priority == "high"
    assert admin.post(f"/jobs/{waits.id}/cancel").status_code == 303
    assert job(farm, waits.id).state is JobState.CANCELLED
    refused = admin.post(f"/jobs/{waits.id}/priority", data={"priority": "low"})
    assert refused.status_code == 409
    assert "its priority means nothing any more" in keeps_to_the_policy(refused.text).text
    assert admin.post("/jobs/job_none/cancel", headers=BROWSER).status_code == 404


def test_what_a_job_built_is_kept_and_no_longer(admin: FlaskClient, farm: Farm, done: JobView):
    artifacts = {build.artifact for build in done.builds if build.artifact}
    assert artifacts
    for action, kept in (("pin", True), ("unpin", False)):
        assert f'action="/jobs/{done.id}/{action}"' in admin.get(f"/jobs/{done.id}").text
        assert admin.post(f"/jobs/{done.id}/{action}").status_code == 303
        pinned = {admin.get(f"/v1/artifacts/{one}").json["pinned"] for one in artifacts}
        assert pinned == {kept}
    waits = submit(farm, done.model, "openvino:fp16", seed=12)
    assert "/pin" not in admin.get(f"/jobs/{waits.id}").text
    assert admin.post(f"/jobs/{waits.id}/pin", headers=BROWSER).status_code == 404


def test_who_may_only_read_is_offered_nothing_else_and_refused(reader: FlaskClient, done: JobView):
    paths = ["/jobs", f"/jobs/{done.id}", *(f"/builds/{one.id}{tab}" for one in done.builds for tab in ("", "/files"))]
    for path in paths:
        text = reader.get(path).text
        assert 'method="post"' not in text.split("<main")[1], path
        assert 'name="action"' not in text
    for path in (f"/jobs/{done.id}/retry", f"/jobs/{done.id}/clone", f"/builds/{done.builds[0].id}/pin"):
        answer = reader.post(path, headers=BROWSER)
        assert answer.status_code == 403
        assert "auth.forbidden" in answer.text or "scope" in answer.text
    assert reader.post("/jobs/actions", data={"action": "retry", "job": [done.id]}).status_code == 403


def test_a_failed_build_says_what_failed_and_what_to_do(admin: FlaskClient, done: JobView):
    bad = done.builds[1].id
    text = admin.get(f"/builds/{bad}").text
    found = keeps_to_the_policy(text)
    assert text.index('class="card error"') < text.index("How it went")
    for said in ("NonMaxSuppression-11 has no kernel", "build.unsupported_operator", "/nms", "What to do:", "line 3"):
        assert said in found.text, said
    assert f"/builds/{bad}/log?attempt=1&line=3#L3" in found.addresses
    script = f"/builds/{bad}/attempts/1/reproduce.py"
    assert script in found.addresses
    answer = admin.get(script)
    assert answer.text == "print('again')\n"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="reproduce.py"'
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert admin.get(f"/builds/{bad}/attempts/1/other.py", headers=BROWSER).status_code == 404


def test_every_part_of_every_build_is_there(admin: FlaskClient, farm: Farm, done: JobView, model: str):
    waits = submit(farm, model, "openvino:fp16", seed=77).builds[0].id
    cached = submit(farm, model, "openvino:fp16").builds[0].id
    assert build(farm, cached).state is BuildState.SUCCEEDED
    for id_ in (done.builds[0].id, done.builds[1].id, waits, cached):
        for tab in ("", "/log", "/layers", "/files", "/provenance"):
            found = read(admin, f"/builds/{id_}{tab}")
            linked = {one.split("#")[0] for one in found.addresses if one.startswith(("/builds/", "/jobs"))}
            for address in linked - {"/jobs/actions"}:
                if not address.endswith(("/cancel", "/retry", "/pin", "/unpin")):
                    assert admin.get(address).status_code == 200, address
    assert "from the cache" in read(admin, f"/builds/{cached}").text


def test_files_with_their_hashes_and_how_to_fetch_them(admin: FlaskClient, farm: Farm, done: JobView):
    good = build(farm, done.builds[0].id)
    found = read(admin, f"/builds/{good.id}/files")
    assert f"enginehouse artifact get {good.artifact}" in found.text
    assert "sha256sum -c" in found.text
    files = [one for one in found.addresses if one.startswith("/v1/artifacts/")]
    assert len(files) == 2
    for address in files:
        assert admin.get(address).status_code == 200
    assert admin.post(f"/builds/{good.id}/pin", data={"note": "for the fair"}).status_code == 303
    assert "It is pinned: for the fair" in read(admin, f"/builds/{good.id}/files").text
    assert admin.post(f"/builds/{good.id}/unpin").status_code == 303
    assert "It is pinned" not in read(admin, f"/builds/{good.id}/files").text


def test_the_log_around_a_line_what_is_looked_for_and_the_whole(admin: FlaskClient, done: JobView):
    bad = done.builds[1].id
    text = admin.get(f"/builds/{bad}/log?attempt=1&line=2").text
    assert 'id="L2"' in text
    found = read(admin, f"/builds/{bad}/log?text=LINE+3")
    assert "L3" in found.ids
    assert "L1" not in found.ids
    assert "No line is like that" in read(admin, f"/builds/{bad}/log?level=trouble").text
    whole = admin.get(f"/builds/{bad}/log.txt")
    assert [line.split(" ", 1)[1] for line in whole.text.splitlines()] == ["line 1", "line 2", "line 3"]
    assert f'filename="{bad}-attempt-1.log"' in whole.headers["Content-Disposition"]
    for path in ("log?attempt=9", "log.txt?attempt=9"):
        assert admin.get(f"/builds/{bad}/{path}", headers=BROWSER).status_code == 404


def test_two_builds_side_by_side(admin: FlaskClient, farm: Farm, done: JobView):
    other = submit(farm, done.model, "openvino:fp16", seed=21).builds[0].id
    tick(farm)
    hand = Farmhand(farm)
    hand.build(other, b"a larger engine")
    good = done.builds[0].id
    found = read(admin, f"/compare?build={good}&build={other}")
    assert "Compare 2 builds" in found.text
    assert "a larger engine" not in found.text
    assert "size" in found.text
    assert "max abs error" not in found.text  # it is the same
    assert "max abs error" in read(admin, f"/compare?build={good}&build={other}&all=1").text


def test_what_cannot_be_compared_says_why(admin: FlaskClient, done: JobView):
    good, bad = (one.id for one in done.builds)
    assert "left no report" in read(admin, f"/compare?build={good}&build={bad}", 409).text
    assert "there is no build or artifact" in read(admin, f"/compare?build={good}&build=none", 404).text
    assert "6 builds are too many" in read(admin, "/compare?" + "&".join(f"build=b{n}" for n in range(6))).text
    chosen = admin.get(f"/compare?build={good}").text
    assert re.search(rf'value="{good}"[^>]* checked', chosen)


def test_nothing_of_a_model_is_believed(admin: FlaskClient, farm: Farm):
    hand = Farmhand(farm)
    model = push(farm, evil_model(), EVIL)
    made = submit(farm, model, "openvino:fp16", "openvino:fp32", name=EVIL)
    good, bad = (one.id for one in made.builds)
    tick(farm)
    claim = hand.claim(good)
    with farm.read() as session:
        moment = now(session)
    attempts.log(
        farm, good, LogBatch(fence=claim.fence, lines=[WorkLogLine(seq=1, time=moment, text="FAILED " + EVIL)])
    )
    answer = hand.bundle(claim)
    answer.report.layers = [Layer(name=EVIL, type=EVIL, precision=EVIL, fused=[EVIL] * 5, time_us=1.0, share=1.0)]
    answer.report.removed = [EVIL]
    answer.report.notes = [EVIL]
    answer.report.environment = {EVIL: {EVIL: EVIL}}
    answer.report.verification.outputs[0].name = EVIL
    attempts.complete(farm, good, answer)
    tick(farm)
    claim = hand.claim(bad)
    attempts.log(farm, bad, LogBatch(fence=claim.fence, lines=[WorkLogLine(seq=1, time=moment, text=EVIL)]))
    failure = UnsupportedOperator(EVIL, operator=EVIL, node=EVIL).failure()
    hand.fail(claim, failure.model_copy(update={"advice": EVIL}), attachments={"reproduce.py": EVIL})
    parts = [f"/builds/{one}{tab}" for one in (good, bad) for tab in ("", "/log", "/layers", "/files", "/provenance")]
    seen = 0
    for path in ["/jobs", f"/jobs/{made.id}", *parts, "/jobs?text=" + EVIL.replace("/", "%2F"), "/compare"]:
        text = admin.get(path).text
        assert EVIL not in text, path
        keeps_to_the_policy(text)
        seen += "&lt;script&gt;" in text
    assert seen == len(parts) + 4


def test_pages_read_without_scripts(admin: FlaskClient, done: JobView):
    """What matters stands in the text, and everything that can be done is a link or a form."""
    text = admin.get(f"/jobs/{done.id}").text.split("<main")[1].split("</main")[0]
    forms = re.findall(r'<form[^>]*method="(get|post)"[^>]*action="([^"]+)"', text)
    assert ("post", f"/jobs/{done.id}/retry") in forms
    assert ("post", f"/jobs/{done.id}/clone") in forms
    for form in re.findall(r"<form.*?</form>", text, re.S):
        assert 'type="submit"' in form
    assert set(re.findall(r"<([a-z]+)[^>]* hidden>", text)) <= {"button"}  # those that copy, which needs a script


def test_another_project_s_pages_are_not_there(app, farm: Farm, done: JobView):
    from integration.api.support import with_token

    from enginehouse.views import ProjectChange
    from scheduler import projects, tokens

    with farm.write() as session:
        projects.create(session, "other", ProjectChange())
        me = tokens.loopback_principal(session)
        _, secret = tokens.create(session, me, "theirs", ["admin"], None, "other")
    stranger = with_token(app, secret)
    assert "night" not in stranger.get("/jobs").text
    one = done.builds[0].id
    for path in (
        f"/jobs/{done.id}",
        f"/builds/{one}",
        f"/builds/{one}/log",
        f"/builds/{one}/log.txt",
        f"/builds/{one}/files",
    ):
        assert stranger.get(path, headers=BROWSER).status_code == 404, path
    assert stranger.get(f"/compare?build={one}&build={done.builds[1].id}").status_code == 404
    for path in (f"/jobs/{done.id}/cancel", f"/jobs/{done.id}/clone", f"/builds/{one}/pin", f"/builds/{one}/retry"):
        assert stranger.post(path, headers=BROWSER).status_code == 404, path
