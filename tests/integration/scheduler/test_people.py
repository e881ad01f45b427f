"""Persons, members and the audit log in the registry itself, on SQLite and PostgreSQL."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from farmhand import me, push, submit
from sqlalchemy import delete, text, update
from sqlalchemy.exc import DBAPIError

from enginehouse.errors import Forbidden, RequestError, SignInFailed
from enginehouse.people import PersonRequest, Role
from enginehouse.views import ProjectChange
from scheduler import audit, jobs, members, ownership, passwords, persons, projects, sessions, tokens
from scheduler.principal import Principal
from scheduler.registry.engine import now
from scheduler.registry.tables import AuditRow, Person, SignIn

PASSWORD = "four plain words here"


def person(farm, login, role=None, **more):
    persons.create(farm, PersonRequest(login=login, **more))
    if role is not None:
        with farm.write() as session:
            members.put(session, me(farm), login, Role(role))


def principal(farm, login) -> Principal:
    with farm.write() as session:
        secret = sessions.begin(session, farm.settings, members.by_login(session, login), "127.0.0.1", "")
    with farm.read() as session:
        return sessions.find(session, farm.settings, secret)[0]


def test_a_password_is_kept_as_an_argon2id_hash_of_todays_strength(farm):
    person(farm, "ana", password=PASSWORD)
    with farm.read() as session:
        kept = session.query(Person).one().password
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert PASSWORD not in kept
    assert passwords.fits(kept, PASSWORD)
    assert not passwords.fits(kept, PASSWORD + " ")
    assert not passwords.fits(None, PASSWORD)
    assert not passwords.fits("", PASSWORD)
    assert not passwords.fits("not a hash", PASSWORD)


def test_an_older_hash_is_made_anew_at_the_next_sign_in(farm):
    from argon2 import PasswordHasher

    person(farm, "ana", password=PASSWORD)
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with farm.write() as session:
        session.execute(update(Person).values(password=weak))
    with pytest.raises(SignInFailed):
        persons.sign_in(farm, "ana", "wrong", "", "")
    with farm.read() as session:
        assert session.query(Person).one().password == weak
    persons.sign_in(farm, "ANA", PASSWORD, "", "")
    with farm.read() as session:
        assert session.query(Person).one().password.startswith("$argon2id$v=19$m=65536,")


@pytest.mark.parametrize("password", ["", "short", "x" * 201, "aaaaaaaaaaaaaaaa", "ana-ana-ana-ana", "Ana is my name"])
def test_what_is_no_password(password):
    with pytest.raises(RequestError, match="password"):
        persons.checked("ana", password)


def test_the_command_for_who_is_locked_out(farm, monkeypatch, capsys):
    person(farm, "ana", "viewer", password=PASSWORD)
    asked = principal(farm, "ana")
    monkeypatch.setattr(persons, "Settings", lambda: farm.settings)
    monkeypatch.setattr("sys.stdin", io.StringIO("another plain one\n"))
    assert persons.main(["set-password", "ana"]) == 0
    with farm.read() as session:
        assert sessions.list_(session, asked, farm.settings) == []
    persons.sign_in(farm, "ana", "another plain one", "", "")
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert persons.main(["set-password", "ana"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("another plain one\n"))
    assert persons.main(["set-password", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("yet another plain one\n"))
    assert persons.main(["set-password", "admin"]) == 0  # made, since there was none
    persons.sign_in(farm, "admin", "yet another plain one", "", "")
    assert principal(farm, "admin").may("operate")


def test_whose_own_a_thing_is():
    def asks(*scopes, token=None, who=None):
        return Principal(token, "p", frozenset(scopes), "x", who)

    ana = asks("read", "submit", who="person_ana")
    own_token = asks("read", "submit", token="token_1", who="person_ana")
    ci, other = asks("submit", token="token_ci"), asks("submit", token="token_other")
    loopback = asks("operate")
    for asking, submitted, may in (
        (ana, "person_ana", True),
        (ana, "person_bo", False),
        (ana, "token_ci", False),
        (ana, None, False),
        (own_token, "person_ana", True),
        (own_token, "token_1", False),
        (ci, "token_ci", True),
        (other, "token_ci", True),
        (ci, None, True),
        (ci, "person_ana", False),
        (asks("maintain", token="t"), "person_ana", True),
        (asks("admin", who="person_bo"), "person_ana", True),
        (loopback, "person_ana", True),
    ):
        if may:
            ownership.check(asking, submitted, "it")
        else:
            with pytest.raises(Forbidden, match="somebody else"):
                ownership.check(asking, submitted, "it")
    assert ownership.submitter(own_token) == "person_ana"
    assert ownership.submitter(ci) == "token_ci"
    assert ownership.submitter(loopback) is None


def test_a_job_says_who_submitted_it_and_only_they_or_maintainers_change_it(farm, model):
    for name, role in (("ana", "submitter"), ("bo", "submitter"), ("mia", "maintainer")):
        person(farm, name, role)
    ana, bo, mia = (principal(farm, name) for name in ("ana", "bo", "mia"))
    from enginehouse.request import JobRequest

    job = jobs.submit(farm, ana, JobRequest(model=model, targets=["openvino:fp32"]))[0]
    assert job.submitted_by == "ana"
    with pytest.raises(Forbidden):
        jobs.cancel(farm, bo, job.id)
    assert jobs.cancel(farm, mia, job.id).state == "cancelled"
    unknown = submit(farm, model, "openvino:fp16")
    assert unknown.submitted_by is None
    with pytest.raises(Forbidden):
        jobs.cancel(farm, ana, unknown.id)


def test_persons_and_members_come_page_by_page(farm):
    with farm.write() as session:
        projects.create(session, "vision", ProjectChange())
    for number in range(5):
        person(farm, f"p{number}", "viewer")
    with farm.read() as session:
        seen, cursor = [], None
        while True:
            found = persons.list_(session, 2, cursor)
            seen += [one.login for one in found.items]
            cursor = found.next
            if cursor is None:
                break
        assert seen == ["p4", "p3", "p2", "p1", "p0"]
        seen, cursor = [], None
        while True:
            listed = members.list_(session, me(farm), None, 2, cursor)
            seen += [one.login for one in listed.items]
            cursor = listed.next
            if cursor is None:
                break
        assert seen == ["p0", "p1", "p2", "p3", "p4"]
        assert members.list_(session, me(farm), "vision").items == []


def fill(farm, lines=3000):
    with farm.write() as session:
        moment = now(session)
        session.add_all(
            AuditRow(
                time=moment - timedelta(seconds=lines - number),
                project_id="default" if number % 3 else "other",
                who=f"who{number % 7}",
                kind="person",
                action=f"action{number % 11}",
                target="",
                outcome="",
                peer="",
                request_id="",
            )
            for number in range(lines)
        )


def test_the_database_refuses_to_change_a_line(farm):
    fill(farm, 3)
    with pytest.raises(DBAPIError, match="not changed"), farm.write() as session:
        session.execute(update(AuditRow).values(who="nobody"))
    with farm.write() as session:
        session.execute(delete(AuditRow))  # what is too old goes


def test_every_list_of_the_log_is_read_by_an_index(farm):
    fill(farm)
    with farm.write() as session:
        session.execute(text("ANALYZE"))
    plans = []
    engine = farm.engine

    with farm.read() as session:
        for asked in ({}, {"who": "who3"}, {"action": "action5"}):
            recorded = []
            from sqlalchemy import event

            def note(_conn, _cursor, statement, parameters, *_, kept=recorded):
                if "FROM audit" in statement:
                    kept.append((statement, parameters))

            event.listen(engine, "before_cursor_execute", note)
            assert len(audit.list_(session, "default", limit=10, **asked).items) == 10
            event.remove(engine, "before_cursor_execute", note)
            ((statement, parameters),) = recorded
            word = "EXPLAIN" if engine.dialect.name == "postgresql" else "EXPLAIN QUERY PLAN"
            rows = session.connection().exec_driver_sql(f"{word} {statement}", parameters).all()
            plans.append(" ".join(str(row) for row in rows))
    for plan in plans:
        assert "Seq Scan on audit" not in plan
        assert "SCAN audit" not in plan.replace("USING INDEX", "") or "USING" in plan
        assert "audit" in plan


def test_ended_sessions_are_forgotten(farm):
    person(farm, "ana", "viewer")
    principal(farm, "ana")
    asked = principal(farm, "ana")
    with farm.write() as session:
        session.execute(update(SignIn).where(SignIn.id != asked.session).values(expires=now(session)))
    with farm.write() as session:
        sessions.sweep(session, farm.settings)
    with farm.read() as session:
        assert [row.id for row in session.query(SignIn)] == [asked.session]


def test_without_a_request_nothing_is_entered(farm, model_bytes):
    push(farm, model_bytes)
    with farm.read() as session:
        assert audit.list_(session, None).items == []
        assert tokens.loopback_principal(session).kind == "loopback"
