"""The reader of scripts agrees with real shells on where a word may be put."""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from weighmaster.core.enforce.pinning.scripts import MAX_SCRIPT, commands


def words(script: str) -> list[list[str]]:
    return [[word.text for word in command] for command in commands(script)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("a b; c && d | e & f\ng", [["a", "b"], ["c"], ["d"], ["e"], ["f"], ["g"]]),
        ("a 'b c' \"d e\" f\\ g", [["a", "b c", "d e", "f g"]]),
        ("a b \\\n  c", [["a", "b", "c"]]),
        ("a # b ; c\nd", [["a"], ["d"]]),
        ("a b#c", [["a", "b#c"]]),
        ("a $(b c; d) \"$(e 'f')\" `g h` i", [["a", "$(b c; d)", "$(e 'f')", "`g h`", "i"]]),
        ("a ${B:-c d} $E", [["a", "${B:-c d}", "$E"]]),
        ("a > b c 2>&1 d &> e", [["a", "c", "d"]]),
        ("if a; then b; fi", [["if", "a"], ["then", "b"], ["fi"]]),
        ("(a b) && { c; }", [["a", "b"], ["{", "c"], ["}"]]),
        ("a <<E b\nc d\nE\ne", [["a", "b"], ["e"]]),
        ("a <<-'E'\n\tc\n\tE\ne", [["a"], ["e"]]),
        ("a <<< b c", [["a", "c"]]),
        ("B=(c d) e", [["c", "d"], ["e"]]),
    ],
)
def test_commands_of(script: str, expected: list[list[str]]) -> None:
    assert words(script) == expected


@pytest.mark.parametrize(
    "script",
    [
        "a 'b",
        'a "b',
        "a $(b",
        "a `b",
        "a ${b",
        "a <<E\nb",
        "a $'b\\'c'",
        "a $(case x in b) c;; esac)",
        "a <(b)",
        "a $(b # c)\n)",
        "a\r\nb",
        "a " * MAX_SCRIPT,
    ],
)
def test_what_is_not_certain_gives_no_commands(script: str) -> None:
    assert commands(script) == []


PIECES = st.sampled_from(
    [
        "show", "show a b", "show 'a b'", 'show "a $X b"', 'show "a\\"b"', "show a\\ b", "X=1",
        "show $X", "show ${X:-d}", 'show "${X:-d e}"', "show $(echo z)", 'show "$(echo \'q r\')"',
        "show `echo y`", "show a > /dev/null", "show 2>&1 a", "# comment 'x", "show a#b",
        "show \\\n  a \\\n  b", "if true; then show t; fi", "(show g)", "{ show h; }",
        "for i in 1 2; do show $i; done", "show <<E\nbody 'x\nE", "show a <<< b", "true",
        "show '' \"\"", "show --model=x --y", "show \"$@\"", "exec 3>&1", "show 'it'\"'\"'s'",
        "f() { show in; }; f", "[ -n x ] && show k", "show a; # c", "! false", "show $((1 + 2))",
    ]
)  # fmt: skip
JOINS = st.sampled_from(["\n", "; ", " && ", " || ", " | cat; "])
SHELLS = [shell for shell in ("bash", "dash") if shutil.which(shell)]
PRELUDE = 'show() { printf "<%s>" "$@"; echo; }\n'


def run(shell: str, script: str) -> list[str]:
    done = subprocess.run(
        [shell, "-c", PRELUDE + script, "sh", "p1", "p 2"],
        capture_output=True, text=True, timeout=10, check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


@given(st.lists(st.tuples(PIECES, JOINS), min_size=1, max_size=5), st.data())
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_word_put_where_one_ends_is_one_more_word_of_that_command_and_nothing_else(
    pieces: list[tuple[str, str]], data: st.DataObject
) -> None:
    script = "".join(piece + join for piece, join in pieces)
    shown = [command for command in commands(script) if command[0].text == "show"]
    if not shown:
        return
    command = data.draw(st.sampled_from(shown))
    word = data.draw(st.sampled_from(command))
    changed = f"{script[: word.end]} MARK{script[word.end :]}"
    for shell in SHELLS:
        if shell == "dash" and "<<<" in script:
            continue
        after = run(shell, changed)
        assert [line.replace("<MARK>", "") or "<>" for line in after] == run(shell, script)


@pytest.mark.parametrize("shell", SHELLS)
def test_the_mark_is_seen_where_the_command_runs(shell: str) -> None:
    script = "X='a b'; show \"$X\" && (show c)"
    for command in commands(script):
        if command[0].text == "show":
            end = command[-1].end
            assert any(
                "<MARK>" in line for line in run(shell, f"{script[:end]} MARK{script[end:]}")
            )
