from hpsearch.processes import Backoff, describe_exit


def test_waits_double_up_to_the_longest() -> None:
    backoff = Backoff(first_s=1, longest_s=5)
    backoff.started()
    assert [backoff.failed() for _ in range(5)] == [1, 2, 4, 5, 5]
    assert backoff.n_failures == 5


def test_a_long_life_is_forgiven_everything() -> None:
    backoff = Backoff(first_s=1, calm_s=0)
    assert [backoff.failed(), backoff.failed()] == [1, 1]


def test_success_starts_over() -> None:
    backoff = Backoff(first_s=1)
    backoff.failed()
    backoff.succeeded()
    assert (backoff.failed(), backoff.n_failures) == (1, 1)


def test_an_exit_is_told_in_words() -> None:
    assert describe_exit(3) == "exit code 3"
    assert describe_exit(-9) == "killed by SIGKILL"
    assert describe_exit(-63) == "killed by signal 63"
