import pytest

from labext.kernels.surroundings import common_environment, unfit


def test_two_students_of_an_image_get_the_same_surroundings() -> None:
    image = {"LANG": "C.UTF-8", "LD_LIBRARY_PATH": "/opt/lib", "OMP_NUM_THREADS": "4"}
    bo = {
        "HOME": "/home/bo",
        "USER": "bo",
        "JUPYTERHUB_API_TOKEN": "x" * 30,
        "PATH": "/home/bo/bin",
    }
    yi = {"HOME": "/home/yilmaz", "PYTHONPATH": "/home/yilmaz/lib", "MPLBACKEND": "agg"}
    first = common_environment(image | bo, cache_folder="/tmp/c")
    assert first == common_environment(image | yi, cache_folder="/tmp/c")
    assert image.items() <= first.items()
    assert list(first) == sorted(first)


def test_nothing_of_a_student_gets_in() -> None:
    student = {
        "PYTHONPATH": "/home/x",
        "PYTHONSTARTUP": "/home/x/s.py",
        "PYTHONUSERBASE": "/home/x",
        "HOME": "/home/x",
        "SECRET": "s",
    }
    common = common_environment(student, cache_folder="/tmp/c")
    assert not any("/home/x" in value for value in common.values())
    assert "SECRET" not in common


@pytest.mark.parametrize(
    ("given", "kept"), [("0", "0"), ("7", "7"), ("random", None), ("", None), (None, None)]
)
def test_a_hash_seed_of_the_students_own_stays(given: str | None, kept: str | None) -> None:
    environment = {} if given is None else {"PYTHONHASHSEED": given}
    seed = common_environment(environment, cache_folder="c")["PYTHONHASHSEED"]
    assert seed == kept if kept is not None else int(seed) > 0


def test_an_image_with_malloc_settings_keeps_them() -> None:
    common = common_environment({"GLIBC_TUNABLES": "x"}, cache_folder="c")
    assert not any(name.startswith("MALLOC_") for name in common)


def test_more_can_be_carried() -> None:
    common = common_environment({"HF_HOME": "/hf"}, cache_folder="c", also=("HF_*",))
    assert common["HF_HOME"] == "/hf"


def test_an_unusual_interpreter_is_left_alone() -> None:
    assert unfit({"PYTHONINSPECT": "1"}) == "PYTHONINSPECT is set"
    assert unfit({"PYTHONPATH": "/x"}) is None
