"""Advice on interfaces that are correct: what readers, peers or the next version will miss.

Each rule is a function in ``rules_*.py`` with a code, a name and an explanation. A comment
``// lint: allow(name)`` on the line, or on the lines right above it, silences a rule there;
``// lint: allow-file(name)`` anywhere silences it in the whole file.
"""

from __future__ import annotations

from hyplink.idl.lint.core import RULES, Rule, lint_compiled, rule_of
from hyplink.idl.lint.rules_cost import COST_RULES
from hyplink.idl.lint.rules_text import TEXT_RULES
from hyplink.idl.lint.rules_unused import UNUSED_RULES

__all__ = ["RULES", "Rule", "lint_compiled", "rule_of"]

for _rule in (*TEXT_RULES, *COST_RULES, *UNUSED_RULES):
    RULES[_rule.name] = _rule
