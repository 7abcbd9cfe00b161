"""What an import made, for people and for scripts."""

from __future__ import annotations

from hyplink.idl.importers import Imported

__all__ = ["report_json", "report_text"]


def report_json(made: Imported) -> dict[str, object]:
    draft = made.draft
    procedures = [p for i in draft.interfaces for p in i.procedures]
    original = [p for p in procedures if "@hidden" not in p.clauses]
    return {
        "source": made.kind,
        "module": draft.module,
        "procedures": len(original),
        "generated": sum(p.hook != "custom" for p in original),
        "custom": sum(p.hook == "custom" for p in original),
        "before": sum(p.hook == "before" for p in original),
        "hidden": len(procedures) - len(original),
        "structs": len(draft.structs),
        "enums": len(draft.enums),
        "hooks": [{"procedure": h.procedure, "reason": h.reason} for h in draft.hooks],
        "skipped": draft.skipped,
    }


def report_text(made: Imported) -> str:
    facts = report_json(made)
    lines = [
        f"{facts['procedures']} procedures: {facts['generated']} generated whole, {facts['custom']} with a hook",
        f"{facts['structs']} structs, {facts['enums']} enums",
    ]
    if facts["before"]:
        lines.append(
            f"{facts['before']} of the generated ones tell the client's own code first (@before)"
        )
    if facts["hidden"]:
        lines.append(f"{facts['hidden']} hidden procedures carry what the hooks gather")
    width = max((len(h.procedure) for h in made.draft.hooks), default=0)
    lines += [f"  {h.procedure:{width}}  {h.reason}" for h in made.draft.hooks]
    lines += [f"  left out: {text}" for text in made.draft.skipped]
    return "\n".join(lines)
