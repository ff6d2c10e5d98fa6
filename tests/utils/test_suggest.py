"""The suggestion behind an error message."""

from avalib.utils.suggest import suggest


def test_the_nearest_choice_is_suggested():
    assert suggest("slowonly_r5", ["slowfast_r50", "slowonly_r50"]) == " Did you mean 'slowonly_r50'?"


def test_nothing_is_suggested_where_nothing_is_near():
    assert suggest("x", ["slowfast_r50"]) == ""


def test_a_synonym_is_suggested_whatever_its_case():
    assert suggest("GPU", ["cpu", "cuda"], synonyms={"gpu": "cuda"}) == " Did you mean 'cuda'?"


def test_a_name_that_is_not_text_is_compared_as_text():
    assert suggest(1.0, ["1.0x"]) == " Did you mean '1.0x'?"
