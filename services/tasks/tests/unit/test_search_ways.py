from __future__ import annotations

import pytest
from rota_tasks.search.domain import Sample, Way


@pytest.mark.parametrize(
    ("sample", "way"),
    [
        (Sample(), Way()),
        (Sample(words=0.001, passing=1.0, both=0.001), Way()),
        (Sample(words=1.0, passing=1.0, both=1.0), Way(newest=1_500)),
        (Sample(words=1.0, passing=0.5, both=0.5), Way(by_filter=True, newest=1_500)),
        # Fewer have the words than are let through: of these the tasks are looked up.
        (Sample(words=0.05, passing=0.2, both=0.01), Way(newest=150_000)),
        # As many are let through as have the words: of these the documents are looked up.
        (Sample(words=0.2, passing=0.2, both=0.04), Way(by_filter=True, newest=7_500)),
        # Everybody sees nearly all.
        (Sample(words=1.0, passing=0.95, both=0.95), Way(newest=1_578)),
        # The newest are hidden.
        (Sample(words=1.0, passing=0.0, both=0.0, some_hidden=True), Way(by_filter=True, newest=1_500)),
        # None of the sample is let through: a rare label.
        (Sample(words=0.5, passing=0.0, both=0.0), Way(by_filter=True, newest=3_000)),
        # Those that the filter lets through hardly have the words.
        (Sample(words=0.1, passing=0.5, both=0.0), Way(by_filter=True)),
    ],
    ids=str,
)
def test_the_sample_says_what_is_least_to_look_at(sample: Sample, way: Way) -> None:
    assert sample.way == way
