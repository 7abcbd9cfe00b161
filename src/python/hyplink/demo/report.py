"""What the demo found: figures and claims, for people and for scripts."""

from __future__ import annotations

import dataclasses
from typing import Any

__all__ = ["Claim", "Report"]


@dataclasses.dataclass(frozen=True, slots=True)
class Claim:
    """Something the demo says, whether it held, and what was seen."""

    text: str
    ok: bool
    seen: str = ""


@dataclasses.dataclass(slots=True)
class Report:
    """Figures of one run. Every number is counted or measured in that run."""

    backend: str
    seed: int | None = None
    claims: list[Claim] = dataclasses.field(default_factory=list)
    requests: int = 0
    batches: int = 0
    calls: int = 0
    xirqs: int = 0
    wakes: int = 0
    copies: int = 0
    lost_requests: int = 0
    reconnects: int = 0
    latency_us: dict[str, float] = dataclasses.field(default_factory=dict)
    posts_per_second: float = 0.0
    timeline: str = ""

    def claim(self, text: str, ok: bool, seen: object = "") -> None:
        """Note a claim and whether it held."""
        self.claims.append(Claim(text, bool(ok), str(seen)))

    @property
    def ok(self) -> bool:
        """True if every claim held."""
        return bool(self.claims) and all(claim.ok for claim in self.claims)

    @property
    def copies_per_request(self) -> float:
        """Copies of parameters per request, counted on both sides."""
        return self.copies / self.requests if self.requests else 0.0

    def to_json(self) -> dict[str, Any]:
        """One object for scripts."""
        data = dataclasses.asdict(self)
        return {"ok": self.ok, **data, "copies_per_request": round(self.copies_per_request, 6)}

    def to_text(self) -> str:
        """A short report for people."""
        lines = [f"hyplink demo: vogl board, backend {self.backend}"]
        for claim in self.claims:
            seen = f" ({claim.seen})" if claim.seen else ""
            lines.append(f"  {'ok    ' if claim.ok else 'FAILED'} {claim.text}{seen}")
        latency = ", ".join(f"{name} {value:.1f} µs" for name, value in self.latency_us.items())
        lines += [
            f"  requests {self.requests} in {self.batches} batches, {self.calls} of them calls",
            f"  XIRQs sent {self.xirqs} (both directions), {self.wakes} of them woke somebody",
            f"  copies per request {self.copies_per_request:.3f} (counted on both sides)",
            f"  lost with the server {self.lost_requests}, reconnects {self.reconnects}",
            f"  sync call {latency}; async {self.posts_per_second / 1e6:.2f} M posts/s",
            f"  timeline {self.timeline}",
            "all claims hold" if self.ok else "NOT ALL CLAIMS HOLD",
        ]
        return "\n".join(lines)
