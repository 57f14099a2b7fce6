"""Values of an environment's own are the same everywhere, and nothing else is."""

from __future__ import annotations

from moorage.parity.facts import Facts, Key, same

KEY = Key("service web", "environment.URL")


def facts(domain: str, base_url: str, project: str = "acme", environment: str = "compose") -> Facts:
    own = {"BASE_URL": base_url, "DOMAIN": domain, "PROJECT": project, "ENVIRONMENT": environment}
    return Facts(environment, "compose", own)


def noted(of: Facts, text: str) -> Facts:
    of.note(KEY.subject, KEY.field, text)
    return of


def test_the_domain_is_the_same_wherever_it_stands() -> None:
    here = noted(
        facts("notes.example.com", "https://notes.example.com"), "https://notes.example.com/api?of=notes.example.com"
    )
    there = noted(facts("localhost", "http://localhost"), "http://localhost/api?of=localhost")
    assert here.of(KEY) == "${BASE_URL}/api?of=${DOMAIN}"
    assert same(here, there, KEY)


def test_a_domain_inside_of_another_word_is_not_the_domain() -> None:
    assert noted(facts("localhost", "http://localhost"), "localhosts").of(KEY) == "localhosts"
    assert noted(facts("a.com", "https://a.com"), "beta.com").of(KEY) == "beta.com"


def test_what_stands_in_both_alike_is_the_same_although_it_is_the_name_of_one() -> None:
    here = noted(facts("localhost", "http://localhost"), "http://localhost:3000")
    there = noted(facts("a.com", "https://a.com"), "http://localhost:3000")
    assert same(here, there, KEY)


def test_names_of_objects_begin_with_those_of_their_deployment() -> None:
    here = noted(facts("a", "b", "acme"), "acme-app")
    there = noted(facts("c", "d", "acme--beta", "beta"), "acme--beta-app")
    assert same(here, there, KEY)
    assert not same(here, noted(facts("c", "d", "acme--beta", "beta"), "acme--gamma-app"), KEY)


def test_two_values_of_one_fact_stand_side_by_side() -> None:
    here = facts("a", "b")
    for text in ("1, 2", "3", "3"):
        here.note(KEY.subject, KEY.field, text)
    assert here.values[KEY] == "1, 2 | 3"


def test_what_is_empty_is_no_fact() -> None:
    assert not noted(facts("a", "b"), "").values
