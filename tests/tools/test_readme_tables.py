from tools import readme_tables


def test_readme_says_what_is_measured():
    text = (readme_tables.ROOT / 'README.md').read_text(encoding='utf-8')
    assert readme_tables.fill(text) == text, 'run python tools/readme_tables.py'
