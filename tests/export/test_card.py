"""Tests of tfrender.export.card."""

from tfrender.export import card


def test_a_section_is_replaced_not_repeated_and_the_others_stay(tmp_path):
    path = str(tmp_path / "model_card.md")
    card.write_card(path, "Model", {"Data": {"a": 1}, "Versions": "none"})
    for text in ("first text", "second text"):
        card.replace_section(path, "LiteRT", text)
    card.replace_section(path, "Data", "| b |")
    written = open(path).read()
    assert written.count("## LiteRT") == written.count("## Data") == 1
    assert (
        "first text" not in written and "second text" in written and "| b |" in written
    )
    assert written.startswith("# Model\n\n## Versions\n\nnone\n")
