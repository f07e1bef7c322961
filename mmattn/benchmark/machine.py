"""What a measurement depends on of the machine."""

import functools
from pathlib import Path


@functools.cache
def cpu_facts(path: Path = Path('/proc/cpuinfo')) -> dict[str, str]:
    """Read what Linux tells of the first core, by its names; nothing on other systems."""
    try:
        text = path.read_text(encoding='utf-8')
    except OSError:
        return {}
    pairs = [line.partition(':') for line in text.split('\n\n')[0].splitlines()]
    return {name.strip(): value.strip() for name, _, value in pairs}


def has_bfloat16(path: Path = Path('/proc/cpuinfo')) -> bool:
    """Tell whether the CPU computes in bfloat16 itself; else oneDNN does it in float32."""
    facts = cpu_facts(path)
    words = f'{facts.get("flags", "")} {facts.get("Features", "")}'.split()
    return not {'avx512_bf16', 'amx_bf16', 'bf16'}.isdisjoint(words)
