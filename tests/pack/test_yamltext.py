"""YAML that people can read is still the same data."""

import string

import yaml
from hypothesis import given
from hypothesis import strategies as st

from collection_health.pack.yamltext import dump

CHARACTERS = st.sampled_from(string.ascii_letters[:6] + "  \n:{}[]#'\"|>-%&*!?,\\é≥")
TEXT = st.text(CHARACTERS, max_size=250)
KEYS = st.text(string.ascii_letters + ". :-", max_size=20)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def without_trailing_spaces(value: object) -> object:
    """The one change `dump` makes: spaces at the ends of lines in texts of several lines go."""
    match value:
        case str() if "\n" in value:
            return "\n".join(line.rstrip() for line in value.split("\n"))
        case list():
            return [without_trailing_spaces(item) for item in value]
        case dict():
            return {key: without_trailing_spaces(item) for key, item in value.items()}
    return value


@given(DOCUMENTS)
def test_reading_gives_back_what_was_written(document: object) -> None:
    """Whatever style is chosen for readers, a parser gets the same document."""
    read = yaml.safe_load(dump({"document": document}))
    assert read == {"document": without_trailing_spaces(document)}
