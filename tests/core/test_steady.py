"""What counts as news in a message, and what changes each time that it is said."""

import pytest

from llmbatch.job.pure.steady import same

CALL = "list files: kong-1.example:8443 answered 503 "


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param("(Rate limit; retry after 7 seconds)", "(Rate limit; retry after 1 second)", id="seconds to wait"),
        pytest.param("(retry in 1m30s)", "(retry in 2.5s)", id="a duration"),
        pytest.param("(request req_011CQ7Zk3)", "(request req_99fGhTzz1)", id="a request's id"),
        pytest.param(
            "(id 3f0c9d1e-0000-4000-8000-00000000000a)", "(id 9a0c9d1e-1111-4000-8000-000000000001)", id="a UUID"
        ),
        pytest.param("(trace deadbeefcafe)", "(trace 00aabbccddee)", id="hexadecimal digits"),
        pytest.param("(from 10.0.0.1:5234)", "(from 10.0.0.2:80)", id="an address"),
        pytest.param("(at 2026-11-25T22:10:01Z)", "(at 2026-11-25T22:10:09Z)", id="a moment"),
        pytest.param("(Tue, 25 Nov 2026 22:10:01 GMT)", "(Wed, 26 Nov 2026 02:10:01 GMT)", id="an HTTP date"),
        pytest.param("(used 51234 of 100000 tokens)", "(used 99 of 100000 tokens)", id="a counter"),
        pytest.param("(code Error12)", "(code Error13)", id="a code with a number"),
    ],
)
def test_what_changes_each_time_is_no_news(one: str, other: str) -> None:
    assert same(CALL + one, CALL + other)
    assert same(f"BatchGateway kong is not ready: {CALL}{one}", f"BatchGateway kong is not ready: {CALL}{other}")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(CALL + "(bad gateway)", CALL + "(no such route)", id="other words"),
        pytest.param(CALL, "list batches: kong-1.example:8443 answered 503 ", id="another call"),
        pytest.param(CALL, "list files: kong-2.example:8443 answered 503 ", id="another gateway"),
        pytest.param("Secret t/creds-1 does not exist", "Secret t/creds-2 does not exist", id="a name of the user's"),
        pytest.param("the input has 5 lines", "the input has 6 lines", id="a number of ours"),
        pytest.param(
            "Remote file file-1 can't be deleted yet: delete file: h x",
            "Remote file file-2 can't be deleted yet: delete file: h x",
            id="a file of ours",
        ),
    ],
)
def test_what_is_news(one: str, other: str) -> None:
    assert not same(one, other)
