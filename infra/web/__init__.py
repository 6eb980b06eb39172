"""The page of infra/page: its vendored libraries, how it is served on this machine, and how it is published."""

from infra.local.process import ROOT

PAGE = ROOT / "infra" / "page"
