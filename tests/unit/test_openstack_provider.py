"""OpenStack as a cloud, where a real one in order would not do what it does here."""

from __future__ import annotations

import base64
import itertools
import json
import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
import responses

from central.clouds.openstack import client
from central.clouds.port import Named, Room, State
from central.elements.port import Trouble
from tests.unit.openstack_answers import (
    FLAVOR,
    GLANCE,
    INTENT,
    KEYSTONE,
    NEUTRON,
    NOVA,
    OURS,
    SECRET,
    TOKENS,
    Answers,
    Asked,
    asked,
)

ID = "10e79acd-76db-4266-8465-c65e1cb0729e"
SERVER = {
    "id": ID,
    "name": f"pilotage-{OURS}-5402366c",
    "status": "ACTIVE",
    "metadata": {"pilotage-central": OURS, "pilotage-queue": "zed", "pilotage-stamp": "5402366c"},
    "flavor": {"original_name": "small"},
    "created": "2026-11-27T02:56:31Z",
    "addresses": {},
}
LIMITS = {"totalInstancesUsed": 3, "maxTotalInstances": 10, "totalCoresUsed": 4, "maxTotalCores": -1}
LIMITS |= {"totalRAMUsed": 1024, "maxTotalRAMSize": 51200}


@pytest.fixture
def cloud() -> Iterator[Answers]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        answers = Answers(mock)
        answers.nova("GET", "/servers/detail", {"servers": [SERVER]})
        answers.nova("GET", "/limits", {"limits": {"absolute": LIMITS}})
        yield answers


@pytest.fixture
def there(cloud: Answers, tmp_path: Path) -> Iterator[Asked]:
    with asked(tmp_path) as there:
        yield there


# --- Tokens ---


def test_one_token_serves_all_services_and_threads(cloud: Answers, there: Asked) -> None:
    """Keystone is asked once, with the credential and nothing else."""
    there.call(there.provider.machines())
    there.call(there.provider.images())
    there.call(there.provider.networks())
    assert cloud.given == 1
    identity = cloud.asked[0]["auth"]["identity"]
    assert identity["application_credential"] == {"id": "the-id", "secret": SECRET}


def test_a_token_that_was_revoked_is_replaced(cloud: Answers, there: Asked) -> None:
    """Nova does not take it any more; the request is made once more with a new one."""
    there.call(there.provider.validate())
    cloud.good.clear()
    assert len(there.call(there.provider.machines())) == 1
    assert cloud.given == 2


def test_a_token_that_ends_is_replaced_before_it_is_used(cloud: Answers, there: Asked) -> None:
    """Its end is in Keystone's answer."""
    cloud.expires = "2020-01-01T00:00:00.000000Z"
    there.call(there.provider.validate())
    before = cloud.given
    there.call(there.provider.validate())
    assert cloud.given > before


def test_a_token_that_is_never_taken_is_told(cloud: Answers, there: Asked) -> None:
    """After the second one nothing more is tried."""
    cloud.nova("GET", "/limits", cloud.fault(401, "not you"))
    assert there.refused(there.provider.validate).trouble is Trouble.CREDENTIAL
    assert cloud.given == 2


def test_a_credential_that_was_set_anew_is_taken_up(cloud: Answers, there: Asked) -> None:
    """The next request is made with it."""
    there.call(there.provider.validate())
    there.held.write_text(json.dumps({"id": "another", "secret": SECRET}))
    there.call(there.provider.validate())
    told = [one["auth"]["identity"]["application_credential"]["id"] for one in cloud.asked]
    assert told == ["the-id", "another"]


@pytest.mark.parametrize("text", [None, "", "[]", '{"id": "the-id"}'])
def test_a_credential_that_is_none(cloud: Answers, there: Asked, text: str | None) -> None:
    """No file, or one that is not what the vault writes: nothing is asked."""
    there.held.unlink() if text is None else there.held.write_text(text)
    assert there.refused(there.provider.machines).trouble is Trouble.CREDENTIAL
    assert not cloud.asked


@pytest.mark.parametrize(
    ("status", "text", "trouble"),
    [
        (401, '{"error": {"code": 401, "message": "no"}}', Trouble.CREDENTIAL),
        (404, '{"error": {"code": 404, "message": "Could not find Application Credential: x."}}', Trouble.CREDENTIAL),
        (404, "<html>not here</html>", Trouble.REFUSED),
        (500, '{"error": {"code": 500, "message": "oh"}}', Trouble.UNREACHABLE),
        (503, "<html>later</html>", Trouble.UNREACHABLE),
        (201, "{}", Trouble.UNREACHABLE),
        (300, '{"versions": {}}', Trouble.UNREACHABLE),
    ],
)
def test_keystone_s_errors(cloud: Answers, there: Asked, status: int, text: str, trouble: Trouble) -> None:
    """A credential that is not good is told from a Keystone that is not well, and from one that is not there."""
    cloud.mock.remove(responses.POST, TOKENS)
    kind = "application/json" if text.startswith("{") else "text/html"
    cloud.mock.add(responses.POST, TOKENS, text, status=status, content_type=kind)
    assert there.refused(there.provider.machines).trouble is trouble


# --- Where the services are ---


@pytest.mark.parametrize("url", [KEYSTONE, f"{KEYSTONE}/", f"{KEYSTONE}/v3", f"{KEYSTONE}/v3/"])
def test_keystone_s_address_is_taken_as_people_have_it(cloud: Answers, tmp_path: Path, url: str) -> None:
    """With its version or without, as it stands in the files that clouds hand out."""
    with asked(tmp_path, url) as there:
        there.call(there.provider.validate())
    assert cloud.given == 1


def test_the_version_in_a_catalogue_is_not_asked_for_twice(cloud: Answers, there: Asked) -> None:
    """Some have it in the addresses of Glance and Neutron, and others not."""
    cloud.catalogue["image"] = {"here": f"{GLANCE}/v2"}
    cloud.catalogue["network"] = {"here": f"{NEUTRON}/v2.0/"}
    assert there.call(there.provider.images()) == [Named("i-1", "plain")]
    assert there.call(there.provider.networks()) == [Named("n-1", "pilots")]


def test_of_several_regions_one_must_be_chosen(cloud: Answers, tmp_path: Path) -> None:
    """What there is to choose from is told; the one that was chosen is asked."""
    cloud.catalogue["compute"] = {"here": NOVA, "there": "https://elsewhere.example"}
    for region, expected in (("", "here, there"), ("nowhere", "here, there")):
        with asked(tmp_path, region=region) as there:
            error = there.refused(there.provider.machines)
            assert error.trouble is Trouble.REFUSED
            assert expected in str(error)
    with asked(tmp_path, region="here") as there:
        assert len(there.call(there.provider.machines())) == 1


def test_a_token_does_not_go_without_tls(cloud: Answers, there: Asked) -> None:
    """Where Keystone has it and a service has not, nothing is asked there."""
    cloud.catalogue["compute"] = {"here": NOVA.replace("https:", "http:")}
    error = there.refused(there.provider.machines)
    assert error.trouble is Trouble.REFUSED
    assert "http://nova.example" in str(error)


def test_a_token_is_not_redirected(cloud: Answers, there: Asked) -> None:
    """Whoever is asked cannot send us to somebody else with it."""
    cloud.add("GET", f"{NOVA}/limits", "", 302, {"Location": "https://elsewhere.example/"})
    assert there.refused(there.provider.validate).trouble is Trouble.UNREACHABLE


# --- Lists ---


def test_a_list_is_followed_to_its_end(cloud: Answers, there: Asked) -> None:
    """Nova gives out a thousand at a time, and says where it goes on."""

    def page(request: requests.PreparedRequest) -> dict[str, Any]:
        if "marker=1" in str(request.url):
            return {"servers": [{**SERVER, "id": "2"}]}
        return {"servers": [{**SERVER, "id": "1"}], "servers_links": [{"rel": "next", "href": f"{NOVA}/x?marker=1"}]}

    cloud.nova("GET", "/servers/detail", page)
    assert [one.id for one in there.call(there.provider.machines())] == ["1", "2"]


def test_a_list_that_never_ends_is_not_followed_for_ever(cloud: Answers, there: Asked) -> None:
    """A cloud that names the same page as the next one has no more."""
    link = [{"rel": "next", "href": f"{NOVA}/x?marker=1"}]
    cloud.nova("GET", "/servers/detail", {"servers": [], "servers_links": link})
    assert there.call(there.provider.machines()) == []
    assert len(cloud.calls("GET", f"{NOVA}/servers/detail")) == 2


def test_a_list_that_always_goes_on_is_left_when_nobody_waits_any_more(
    cloud: Answers, there: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cloud that names another page each time is not asked for all the pages that there might be."""
    pages = itertools.count()

    def page(request: requests.PreparedRequest) -> dict[str, Any]:
        return {"servers": [], "servers_links": [{"rel": "next", "href": f"{NOVA}/x?marker={next(pages)}"}]}

    cloud.nova("GET", "/servers/detail", page)
    ticks = itertools.count(0.0, 20.0)
    monkeypatch.setattr(client, "time", SimpleNamespace(monotonic=lambda: next(ticks)))
    error = there.refused(there.provider.machines)
    assert "more than 60 s for all pages of servers" in str(error)
    assert next(pages) < 5


def test_user_data_goes_along_with_no_error(cloud: Answers, there: Asked) -> None:
    """Nova repeats what it does not like, and whoever logs the error with what led to it does not."""
    told = base64.b64encode(INTENT.user_data).decode()
    cloud.nova("GET", "/servers/detail", {"servers": []})
    cloud.nova("POST", "/servers", cloud.fault(400, f"Invalid input for field user_data. Value: {told}. Too long"))
    error = there.refused(lambda: there.provider.create(INTENT))
    assert told not in "".join(traceback.format_exception(error))
    assert str(INTENT.user_data) not in repr(INTENT)


def test_a_cell_that_does_not_answer_is_told(cloud: Answers, there: Asked) -> None:
    """A list with servers of which nothing is known is none: ours would be taken for gone."""
    partial = {"id": "2", "status": "UNKNOWN", "created": "2026-11-27T02:56:31Z", "tenant_id": "t", "links": []}
    cloud.nova("GET", "/servers/detail", {"servers": [SERVER, partial]})
    assert there.refused(there.provider.machines).trouble is Trouble.UNREACHABLE
    [request] = cloud.calls("GET", f"{NOVA}/servers/detail")
    assert request.headers["OpenStack-API-Version"] == "compute 2.69"


def test_a_nova_from_before_that_version_is_asked_in_its_own(cloud: Answers, there: Asked) -> None:
    """Flavors then come by their ids."""
    cloud.nova("GET", "/", {"version": {"version": "2.1", "min_version": "2.1"}})
    cloud.nova("GET", "/servers/detail", {"servers": [{**SERVER, "flavor": {"id": "f-1"}}]})
    [machine] = there.call(there.provider.machines())
    assert machine.flavor == "small"
    [request] = cloud.calls("GET", f"{NOVA}/servers/detail")
    assert "OpenStack-API-Version" not in request.headers


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", "<html>", '{"servers": [{}]}', '{"servers": [7]}', '{"servers": null}']
)
def test_an_answer_that_is_none(cloud: Answers, there: Asked, text: str) -> None:
    """What cannot be understood is never an empty list."""
    cloud.nova("GET", "/servers/detail", text)
    assert there.refused(there.provider.machines).trouble is Trouble.UNREACHABLE


def test_a_connection_that_the_cloud_has_let_go_is_made_anew(cloud: Answers, there: Asked) -> None:
    """What only asks is asked once more; what makes something is not, since it may have been made."""
    lost: list[Any] = [requests.ConnectionError("closed"), {"servers": []}]
    cloud.nova("GET", "/servers/detail", lambda request: lost.pop(0))
    assert there.call(there.provider.machines()) == []
    cloud.nova("GET", "/servers/detail", {"servers": []})
    cloud.nova("POST", "/servers", lambda request: requests.ConnectionError("closed"))
    assert there.refused(lambda: there.provider.create(INTENT)).trouble is Trouble.UNREACHABLE
    assert len(cloud.calls("POST", f"{NOVA}/servers")) == 1


# --- Starting and ending ---


def test_a_machine_that_is_there_already_is_the_answer(cloud: Answers, there: Asked) -> None:
    """It is looked for by its name, and nothing is started."""
    assert there.call(there.provider.create(INTENT)) == ID
    [request] = cloud.calls("GET", f"{NOVA}/servers/detail")
    assert f"pilotage-{OURS}-5402366c" in str(request.url)
    assert not cloud.calls("POST", f"{NOVA}/servers")


def test_a_machine_is_started_by_ids(cloud: Answers, there: Asked) -> None:
    """Names are looked up once for many machines."""
    cloud.nova("GET", "/servers/detail", {"servers": []})
    cloud.nova("POST", "/servers", {"server": {"id": "new"}}, 202)
    for _ in range(2):
        assert there.call(there.provider.create(INTENT)) == "new"
    request = cloud.calls("POST", f"{NOVA}/servers")[0]
    server = json.loads(request.body or b"")["server"]
    assert (server["flavorRef"], server["imageRef"], server["networks"]) == ("f-1", "i-1", [{"uuid": "n-1"}])
    for url in (f"{NOVA}/flavors/detail", f"{GLANCE}/v2/images", f"{NEUTRON}/v2.0/networks"):
        assert len(cloud.calls("GET", url)) == 1


def test_what_is_named_by_its_id_is_not_looked_up(cloud: Answers, there: Asked) -> None:
    """Nova knows best whether there is one, also where no list has it."""
    cloud.nova("GET", "/servers/detail", {"servers": []})
    cloud.nova("POST", "/servers", {"server": {"id": "new"}}, 202)
    there.call(there.provider.create(replace(INTENT, flavor="f-1", image=ID, networks=(ID,))))
    [request] = cloud.calls("POST", f"{NOVA}/servers")
    server = json.loads(request.body or b"")["server"]
    assert (server["flavorRef"], server["imageRef"], server["networks"]) == ("f-1", ID, [{"uuid": ID}])
    for url in (f"{GLANCE}/v2/images", f"{NEUTRON}/v2.0/networks"):
        assert not cloud.calls("GET", url)


def test_after_a_refusal_names_are_looked_up_anew(cloud: Answers, there: Asked) -> None:
    """An image that was replaced has another id under the same name."""
    cloud.nova("GET", "/servers/detail", {"servers": []})
    cloud.nova("POST", "/servers", cloud.fault(400, "Image i-1 could not be found."))
    for _ in range(2):
        assert there.refused(lambda: there.provider.create(INTENT)).trouble is Trouble.REFUSED
    assert len(cloud.calls("GET", f"{GLANCE}/v2/images")) == 2


def test_of_two_images_with_one_name_neither_is_taken(cloud: Answers, there: Asked) -> None:
    """Anybody may share an image under a name that is in use: the ids are told to choose from."""
    images = [{"id": "i-1", "name": "plain"}, {"id": "i-2", "name": "plain"}]
    cloud.add("GET", f"{GLANCE}/v2/images", {"images": images})
    error = there.refused(lambda: there.provider.create(INTENT))
    assert error.trouble is Trouble.REFUSED
    assert "i-1, i-2" in str(error)


def test_there_are_no_spot_machines(there: Asked) -> None:
    """A queue that wants them is told, rather than given machines that cost more."""
    assert there.refused(lambda: there.provider.create(replace(INTENT, spot=True))).trouble is Trouble.REFUSED


def test_a_machine_that_will_not_be_deleted_is_told(cloud: Answers, there: Asked) -> None:
    """Somebody has locked it: the refusal comes with Nova's words; one that is gone meanwhile is no error."""
    cloud.nova("GET", f"/servers/{ID}", {"server": SERVER})
    cloud.nova("DELETE", f"/servers/{ID}", cloud.fault(409, "Instance is locked"))
    assert "is locked" in str(there.refused(lambda: there.provider.delete(ID)))
    cloud.nova("DELETE", f"/servers/{ID}", cloud.fault(404, "Instance could not be found."))
    there.call(there.provider.delete(ID))


def test_a_machine_of_somebody_else_is_not_deleted(cloud: Answers, there: Asked) -> None:
    """Not even when we are told to by its id."""
    cloud.nova("GET", f"/servers/{ID}", {"server": {**SERVER, "name": "theirs", "metadata": {}}})
    there.call(there.provider.delete(ID))
    assert there.call(there.provider.machine(ID)) is None
    assert not cloud.calls("DELETE", f"{NOVA}/servers/{ID}")


@pytest.mark.parametrize("status", [404, 409, 501])
def test_a_machine_without_a_console(cloud: Answers, there: Asked, status: int) -> None:
    """Not yet, or not on this hypervisor: then there is nothing, and no error."""
    cloud.nova("GET", f"/servers/{ID}", {"server": {**SERVER, "status": "ERROR"}})
    cloud.nova("POST", f"/servers/{ID}/action", cloud.fault(status, "not here"))
    assert there.call(there.provider.console(ID)) == b""
    machine = there.call(there.provider.machine(ID))
    assert machine
    assert machine.state is State.FAILED


def test_a_long_console_is_cut_at_its_beginning(cloud: Answers, there: Asked) -> None:
    """The end is what says why."""
    cloud.nova("GET", f"/servers/{ID}", {"server": SERVER})
    cloud.nova("POST", f"/servers/{ID}/action", {"output": "x" * 2_000_000 + "the end"})
    console = there.call(there.provider.console(ID))
    assert len(console) == 1_000_000
    assert console.endswith(b"the end")


# --- Room ---


def test_the_quota_says_what_is_used(cloud: Answers, there: Asked) -> None:
    """A negative number is no bound; memory comes in bytes."""
    quota = there.call(there.provider.quota())
    assert (quota.machines, quota.cores) == (Room(3, 10), Room(4, None))
    assert quota.memory == Room(1024**3, 50 * 1024**3)


def test_where_limits_are_not_shown_the_quota_of_the_project_is_asked(cloud: Answers, there: Asked) -> None:
    """It needs the id of the project, which Keystone tells of a token."""
    cloud.nova("GET", "/limits", cloud.fault(403, "Policy doesn't allow os_compute_api:limits to be performed."))
    told = {"token": {"project": {"id": "p-1"}}}
    cloud.mock.add(responses.GET, TOKENS, json.dumps(told), content_type="application/json")
    one = {"in_use": 1, "limit": 5, "reserved": 0}
    cloud.nova("GET", "/os-quota-sets/p-1/detail", {"quota_set": dict.fromkeys(("instances", "cores", "ram"), one)})
    assert there.call(there.provider.quota()).machines == Room(1, 5)


@pytest.mark.parametrize(
    ("status", "told", "trouble", "said"),
    [
        (403, {"error": {"code": 403, "message": "You are not authorized"}}, Trouble.REFUSED, "Keystone says 403"),
        (503, {}, Trouble.UNREACHABLE, "Keystone says 503"),
        (200, {}, Trouble.UNREACHABLE, "cannot be understood"),
        (200, requests.ConnectionError("it is gone"), Trouble.UNREACHABLE, "Keystone does not answer"),
    ],
)
def test_a_keystone_that_does_not_tell_the_project(
    cloud: Answers, there: Asked, status: int, told: dict[str, Any] | Exception, trouble: Trouble, said: str
) -> None:
    """What it says is told apart from what it does not say."""
    cloud.nova("GET", "/limits", cloud.fault(404, "There are none."))
    body = told if isinstance(told, Exception) else json.dumps(told)
    cloud.mock.add(responses.GET, TOKENS, body, status=status, content_type="application/json")
    error = there.refused(there.provider.quota)
    assert error.trouble is trouble
    assert said in str(error)


def test_a_flavor_is_told_with_what_is_in_it(there: Asked) -> None:
    """Bytes, and virtual GPUs where its properties have them."""
    [flavor] = there.call(there.provider.flavors())
    assert (flavor.id, flavor.name, flavor.cores) == (FLAVOR["id"], FLAVOR["name"], 2)
    assert (flavor.memory, flavor.disk, flavor.gpus) == (4 * 1024**3, 20 * 1024**3, 1)


def test_a_rate_that_was_exceeded_is_not_a_refusal(cloud: Answers, there: Asked) -> None:
    """It is tried again later."""
    cloud.nova("GET", "/servers/detail", cloud.fault(429, "Too many requests."))
    error = there.refused(there.provider.machines)
    assert error.trouble is Trouble.UNREACHABLE
    assert error.transient
